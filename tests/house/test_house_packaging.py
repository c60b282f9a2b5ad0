"""The wheel holds everything, and works in a clean environment on the oldest and the newest Python."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"doctor": "envdoc.doctor", "train": "envdoc.train", "lockfiles": "envdoc.lockfiles"}


def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_of_the_tree_is_listed():
    """A forgotten package ships a broken wheel: the list in pyproject.toml equals the tree."""
    tree = {
        ".".join([name, *init.parent.relative_to(ROOT / folder).parts])
        for folder, name in ROOMS.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }

    assert tree == set(settings()["tool"]["setuptools"]["packages"])


def test_the_two_names_are_never_mixed_up():
    """`doctor` and `train` are never imported under their folder names, which would double every class."""
    assert [] == [name for name in ("doctor", "train", "lockfiles") if name in sys.modules]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a clean copy of the tracked files without a network."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "-w",
            str(out),
            str(source),
        ],
        check=True,
    )
    return next(out.glob("envdoc_llm-*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize("minor", ["3.8", "3.13"])
def test_the_wheel_works_in_a_clean_environment(wheel, minor, tmp_path, interpreter):
    """`check --quick`, `rules` and `profiles` run from the installed wheel, far from the checkout."""
    subprocess.run([interpreter(minor), "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    lock = str(ROOT / "lockfiles" / "doctor.txt")
    subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock], check=True)
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    envdoc = str(tmp_path / "venv" / "bin" / "envdoc")

    def run(*arguments):
        return subprocess.run([envdoc, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    checked = run("check", "--quick", "--format", "json", "--python", str(python))
    listed = run("rules", "--format", "json")
    assert (1, "") == (checked.returncode, checked.stderr)  # it has no torch, and says so
    report = json.loads(checked.stdout)
    assert [] == [c["code"] for c in report["checks"] if c["status"] == "crashed"]
    assert sorted({c["code"] for c in report["checks"]}) == [r["code"] for r in json.loads(listed.stdout)]
    assert 0 == run("profiles").returncode
    assert 0 == run("explain", report["checks"][0]["code"]).returncode
