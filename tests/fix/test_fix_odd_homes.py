"""Folders that are not as expected: long, with spaces, elsewhere by a link, without a home; and a Python that moved."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fix_tools as tools
import killing
import pytest

from envdoc.doctor.fix.generations import Generations
from envdoc.doctor.home import current_problem

pytestmark = pytest.mark.slow

LONG = "/".join(["a folder with a long name " + "x" * 60] * 3)


@pytest.fixture
def python(quick_python):
    """An interpreter that makes environments quickly."""
    return quick_python


@pytest.fixture
def plan(shop, tmp_path, no_index):
    """A plan of alpha and beta; `alpha` brings a command of that name."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    return killing.write_plan(shop.profile(), tools.BASE, tmp_path / "plan.pickle")


@pytest.mark.parametrize("name", ["with space", "ünïcode-模型", LONG])
def test_scripts_start_wherever_the_folder_lies(name, plan, tmp_path):
    """A first line of a script may have 127 characters on old kernels, and no space: pip's own command must start."""
    home = tmp_path / name / "home"
    status, output = killing.finish(plan, home)
    assert 0 == status, output
    made = Generations(home).current()
    done = subprocess.run([str(made.folder / "bin/pip"), "--version"], stdout=subprocess.PIPE, check=False)
    assert (0, True) == (done.returncode, str(made.folder).encode() in done.stdout)
    assert killing.imports(home / "current/bin/python", "alpha", "beta")
    status, output = killing.command(home, "run", "--", "pip", "--version")
    assert (0, True) == (status, made.name in output), output


def test_environments_on_another_disk_by_a_link(plan, tmp_path):
    """`envs` may be a link; one whose disk is not mounted is told, and nothing is made in its place."""
    home, disk = tmp_path / "home", tmp_path / "disk"
    home.mkdir()
    (home / "envs").symlink_to(disk)
    status, output = killing.finish(plan, home)
    assert (2, True) == (status, f"is a link to `{disk}`, which is not there" in output), output
    disk.mkdir()
    status, output = killing.finish(plan, home)
    assert (0, 1) == (status, len(list(disk.iterdir()))), output
    assert killing.imports(home / "current/bin/python", "alpha")


def test_a_user_without_a_home_is_one_sentence():
    """HOME unset and no entry in the table of users; ENVDOC_HOME mends it."""
    if os.getuid() != 0:
        pytest.skip("only root can be a user without an entry")
    code = "import os; from envdoc.doctor.home import home; os.setuid(61234); home({})"
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "ENVDOC_HOME")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, check=False)
    assert b"EnvdocError: envdoc's folder cannot be told" in done.stderr, done.stderr


def test_a_name_that_is_too_long_is_one_sentence(tmp_path):
    """300 characters in one name."""
    status, output = killing.command(tmp_path / ("x" * 300), "generations")
    assert (2, True) == (status, "ENVDOC_HOME names no folder that can be: File name too long" in output), (
        output
    )


def test_a_python_that_moved(shop, python, tmp_path, no_index):
    """Every command says so in a sentence, and `fix --apply` builds anew with the Python that is there now."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    old, home = tmp_path / "old", tmp_path / "home"
    old.mkdir()
    (old / "python").symlink_to(os.path.realpath(tools.BASE))
    made = killing.write_plan(shop.profile(), python, tmp_path / "plan.pickle")
    assert 0 == killing.finish(made, home)[0]
    link = home / "current/bin/python"
    first = Generations(home).current()
    link.unlink()
    link.symlink_to(old / "python")
    assert killing.imports(link, "alpha")
    shutil.rmtree(str(old))
    sentence = f"The current generation `{first.name}` does not start: its Python `{old / 'python'}` is gone."
    assert sentence == current_problem(home)
    for words, expected in ((["run", "--", "python"], 2), (["generations"], 0)):
        status, output = killing.command(home, *words)
        assert (expected, True, False) == (status, sentence in output, "Traceback" in output), output
    environment = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")
    }
    program = str(Path(sys.executable).parent / "envdoc")
    for words in (["train", "--dry-run"], ["check", "--quick"]):
        done = subprocess.run(
            [program, *words],
            env={**environment, "ENVDOC_HOME": str(home), "COLUMNS": "400", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        told = done.stdout + done.stderr
        assert done.returncode in (1, 2), told
        assert "Traceback" not in told
        assert "python" in told, told
    status, output = killing.finish(made, home)
    assert 0 == status, output
    now = Generations(home).current()
    assert (first.number + 1, True) == (now.number, killing.imports(now.python, "alpha"))


@pytest.mark.parametrize("damage", ["deleted", "garbage", "folder gone", "clock"])
def test_a_damaged_memory(damage, shop, python, tmp_path, no_index):
    """Without its journal, without the folder of the current generation, with a clock that went back: it goes on."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    home, plan = tmp_path / "home", killing.write_plan(shop.profile(), python, tmp_path / "plan.pickle")
    assert 0 == killing.finish(plan, home)[0]
    first = Generations(home).current()
    if damage == "deleted":
        (home / "journal.jsonl").unlink()
    elif damage == "garbage":
        (home / "journal.jsonl").write_bytes(b'\xff\x00[[[[\n{"event": 7}\n[]\n' + b"[" * 100_000)
    elif damage == "folder gone":
        shutil.rmtree(str(first.folder))
        (home / "journal.jsonl").unlink()
    else:
        text = (home / "journal.jsonl").read_text()
        (home / "journal.jsonl").write_text(text.replace('"at": "20', '"at": "29'))
    other = shop.profile("other", lines=[f"beta==2.0 --hash=sha256:{shop.hashes['beta']}"])
    status, output = killing.finish(killing.write_plan(other, python, tmp_path / "other.pickle"), home)
    assert 0 == status, output
    now = Generations(home).current()
    assert (True, "other") == (now.number > first.number, now.profile)
    if damage != "folder gone":
        assert first.name == Generations(home).rollback().name
