"""The plan runs nothing, and still knows of a torch that does not import: from the last check of the same target."""

import dataclasses
import json
import os
import subprocess
import sys

import fix_tools as tools
import pytest

from envdoc.doctor.facts.snapshot import Interpreter, Package, ProbeResult, Snapshot
from envdoc.doctor.last_check import FILE, remember, remembered

PROBE = ProbeResult("torch_runs", "crashed", {"a": [1, None]}, "ImportError: x", 0.5)
SEEN = Snapshot(
    envdoc_version="1",
    interpreter=Interpreter(path="/p", version="3.11.7"),
    packages=(Package("torch", "2.0.1", "/nowhere"),),
    variables={"A": "1"},
    probes=(PROBE,),
)


def test_what_the_probes_saw_is_known_again_for_the_same_target(home):
    """Word for word, with the time; only its owner may read it."""
    remember(SEEN, home)
    probes, at = remembered(dataclasses.replace(SEEN, probes=()), home)
    assert ((PROBE,), True) == (probes, at.endswith("+00:00"))
    assert 0o600 == (home / FILE).stat().st_mode & 0o777


@pytest.mark.parametrize(
    "change",
    [
        {"envdoc_version": "2"},
        {"interpreter": Interpreter(path="/q", version="3.11.7")},
        {"packages": (Package("torch", "2.0.2", "/nowhere"),)},
        {"packages": ()},
        {"variables": {"A": "2"}},
    ],
)
def test_in_another_state_nothing_is_known(change, home):
    """Another envdoc, interpreter, package or variable: the probes might see something else."""
    remember(SEEN, home)
    assert None is remembered(dataclasses.replace(SEEN, **change), home)


@pytest.mark.parametrize("at", ["2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00", "x", None])
def test_an_old_or_damaged_memory_is_none(at, home):
    """A day is the most; a clock that was ahead is no reason to trust it for years."""
    remember(SEEN, home)
    told = json.loads((home / FILE).read_text())
    (home / FILE).write_text(json.dumps({**told, "at": at}))
    assert None is remembered(SEEN, home)
    (home / FILE).write_text("{")
    assert None is remembered(SEEN, home)


def test_a_quick_check_keeps_nothing(home):
    """There is nothing to keep where no probe was run."""
    remember(dataclasses.replace(SEEN, probes=()), home)
    assert not home.exists()


def test_fix_knows_of_a_torch_that_does_not_import_from_the_last_check(home, tmp_path):
    """Real processes: unknown before the check, planned for after it, unknown again when a package came."""
    target = tmp_path / "target"
    site = tools.bare_venv(target)
    for name in ("torch", "transformers", "peft", "accelerate"):
        info = site / f"{name}-9.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n")
    (site / "torch").mkdir()
    (site / "torch" / "version.py").write_text("__version__ = '9.0+cpu'\ncuda = None\n")
    (site / "torch" / "__init__.py").write_text(
        "raise OSError('libcudart.so.99: cannot open shared object')\n"
    )

    def codes():
        done = envdoc(home, "fix", "--format", "json", "--only", "TOR05", "--python", str(target))
        assert done.returncode in (0, 1), done.stderr
        told = json.loads(done.stdout)
        return told["probes"], [action["code"] for action in told["actions"]]

    envdoc(home, "check", "--python", str(target))
    assert ("remembered", ["TOR050"]) == codes()
    (site / "newcomer.py").write_text("")
    assert ("run", ["TOR050"]) == codes()  # --only asks for what a probe alone can tell
    plain = envdoc(home, "fix", "--format", "json", "--python", str(target))
    assert "remembered" == json.loads(plain.stdout)["probes"]  # that run was kept too


def envdoc(home, *arguments):
    """envdoc itself; no Python but the system's is asked for."""
    values = {**os.environ, "ENVDOC_HOME": str(home), "PATH": "/usr/bin:/bin", "PYENV_ROOT": "/nowhere"}
    values["HOME"] = str(home.parent)
    return subprocess.run(
        [sys.executable, "-m", "envdoc.doctor", *arguments],
        env=values, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
