"""`check --lock FILE` compares the environment with a lock file, and says in one sentence where that is none."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ENVDOC = str(Path(sys.executable).parent / "envdoc")
CODES = ("PKG050", "PKG051", "PKG052")


def check(*arguments):
    """`envdoc check --quick` of this interpreter with these arguments, as it ended."""
    command = [ENVDOC, "check", "--quick", "--python", sys.executable, "--select", "PKG05", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def told(*arguments):
    """Status and title of the rules about the lock."""
    ended = check("--format", "json", *arguments)
    return {c["code"]: (c["status"], c["title"]) for c in json.loads(ended.stdout)["checks"]}


def test_without_a_lock_nothing_is_judged():
    """The rules are skipped."""
    assert {code: "skipped" for code in CODES} == {code: status for code, (status, _) in told().items()}


def test_differences_are_told(tmp_path):
    """A package that is missing, one in another version, and what the lock does not name; markers are honoured."""
    lock = tmp_path / "requirements.txt"
    lines = ("rich==0.0.1", f"packaging=={version('packaging')}", "no-such-thing==1 ; python_version > '3'")
    lock.write_text("\n".join((*lines, "only-elsewhere==1 ; sys_platform == 'win32'")) + "\n")
    found = told("--lock", str(lock))
    assert ("fail", "The lock names no-such-thing==1, not installed") == found["PKG050"]
    assert ("fail", f"rich {version('rich')} instead of ==0.0.1, says the lock") == found["PKG051"]
    assert "fail" == found["PKG052"][0]
    assert 1 == check("--lock", str(lock)).returncode


def test_environment_as_locked(tmp_path):
    """What pip itself lists of an environment is no difference."""
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--all"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lock = tmp_path / "requirements.txt"
    lock.write_text(frozen.stdout)
    assert {code: "ok" for code in CODES} == {
        code: status for code, (status, _) in told("--lock", str(lock)).items()
    }


def test_what_is_no_lock_file(tmp_path):
    """One error, a hint, exit 2 and nothing on standard output."""
    for name in ("gone.txt", "bad.txt"):
        (tmp_path / "bad.txt").write_text("this is no requirement\n")
        ended = check("--lock", str(tmp_path / name))
        assert (2, "") == (ended.returncode, ended.stdout)
        assert ended.stderr.startswith("error: ")
        assert "Traceback" not in ended.stderr
