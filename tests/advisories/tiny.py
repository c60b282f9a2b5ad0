"""Made-up advisories with a reproducer each, in a folder of their own: no torch, no overlay, milliseconds."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ADVISORY = """
id = "{id}"
summary = "The example goes wrong"
details = "It goes wrong for the sake of an example."
cause_class = "oom"
kind = "script"
cause = "The example is an example."
reproducer = "{id}"
symptom = ['the example went wrong']
modified = "2026-11-24"
[[proof]]
packages = []
fails = {fails}
[remedy]
advice = "Leave it."
[[evidence]]
versions = "none"
date = "2026-11-24"
verdict = "seen"
"""


def tiny(folder, name, script, fails=True, text=ADVISORY):
    """Write the advisory NAME with that reproducer into `folder`, and return the folder."""
    (folder / "reproducers").mkdir(parents=True, exist_ok=True)
    verdict = ROOT / "doctor" / "advisories" / "reproducers" / "_verdict.py"
    shutil.copy(str(verdict), str(folder / "reproducers" / "_verdict.py"))
    (folder / "reproducers" / f"{name}.py").write_text(script, encoding="utf-8")
    (folder / f"{name}.toml").write_text(text.format(id=name, fails=str(fails).lower()), encoding="utf-8")
    return folder


FAILS = "from _verdict import finish\nfinish(True, 'the example went wrong')\n"
PASSES = "from _verdict import finish\nfinish(False, 'all is well')\n"
