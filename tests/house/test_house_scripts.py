"""The scripts say which package to install where only the system can help."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def find_python(tmp_path):
    """A function that runs scripts/find-python with nothing on PATH but the programs given."""

    def run(**programs):
        for name, body in programs.items():
            path = tmp_path / name.replace("_", ".")
            path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            path.chmod(0o755)
        command = ["/bin/sh", str(ROOT / "scripts" / "find-python"), "8", "python3", "python3.12"]
        return subprocess.run(
            command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=False
        )

    return run


def test_no_python_at_all(find_python):
    """It names the package of each system that people rent."""
    done = find_python()

    assert (1, "") == (done.returncode, done.stdout)
    assert "No Python 3.8 or later was found" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_a_python_without_venv(find_python, interpreter):
    """Debian packs the venv module apart: its package is named with the version that was found."""
    real = interpreter("3.12")
    done = find_python(python3=f'case "$2" in *venv*) exit 1;; esac; exec {real} "$@"')

    assert (1, "") == (done.returncode, done.stdout)
    assert "apt-get install python3.12-venv" in done.stderr


def test_the_first_that_is_new_enough(find_python, interpreter, tmp_path):
    """One that is too old or broken is passed over."""
    done = find_python(python3="exit 1", python3_12=f'exec {interpreter("3.12")} "$@"')

    assert (0, f"{tmp_path}/python3.12\n") == (done.returncode, done.stdout)


def test_every_script_can_be_started():
    """Scripts are executable, or the README's commands are not."""
    scripts = [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]

    assert [] == [script.name for script in scripts if not script.stat().st_mode & 0o100]
