"""What a build makes, in which order, and what its receipt says; with real environments and a real uv."""

import json
import os
import shutil
import subprocess
import sys
import time

import fix_tools as tools
import killing
import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.apply import apply, find_installer
from envdoc.doctor.fix.generations import Generations
from envdoc.doctor.fix.new_environment import base_problem, make_environment

pytestmark = pytest.mark.slow

PINS = (("alpha", "1.0"), ("beta", "2.0"))
STEPS = {"environment", "install", "consistency", "bytecode", "proof"}


@pytest.fixture
def plan(shop, no_index):
    """The plan for alpha and beta, whose wheels lie in a folder."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    return shop.plan(shop.profile(), "uv")


def silent(line):
    """No report."""


def imports(python):
    """A proof that compiles what it imports, and finds no fault."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([python, "-c", "import alpha, beta"], check=True, env=environ)
    return []


def receipt_of(made):
    """What its receipt says."""
    return json.loads((made.folder / "envdoc-receipt.json").read_text())


def test_the_receipt_tells_the_time_of_every_step_and_pip_is_there(plan, home):
    """Every step is timed; `python -m pip` and `pip` work in the new environment although ensurepip did not run."""
    made = apply(plan, home, imports, silent, find_installer())
    told = receipt_of(made)
    assert set(told["seconds_by_step"]) == STEPS
    beside = told["seconds_by_step"].pop("consistency")  # the proof runs meanwhile
    assert max(sum(told["seconds_by_step"].values()), beside) <= told["seconds"] + 0.2
    assert {"alpha", "beta", "pip"} <= set(told["packages"])
    for command in ([str(made.python), "-m", "pip"], [str(made.folder / "bin" / "pip")]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert (0, True) == (done.returncode, str(made.folder) in done.stdout)


def test_rebuild_makes_another_of_the_same_lock_and_shares_what_was_compiled(plan, home):
    """With `rebuild` the proof of a new environment is asked, the old stays, and its .pyc files are the same inodes."""
    first = apply(plan, home, imports, silent, find_installer())
    asked = []

    def prove(python):
        asked.append(python)
        there, limit = second_site(python) / "alpha" / "__pycache__", time.monotonic() + 20
        while not list(there.glob("*.pyc")) and time.monotonic() < limit:
            time.sleep(0.02)  # they are linked beside the proof
        (compiled,) = there.glob("*.pyc")
        earlier = next(iter(first.folder.glob("lib/*/site-packages/alpha/__pycache__"))) / compiled.name
        assert earlier.samefile(compiled)
        return imports(python)

    second = apply(plan, home, imports, silent, find_installer(), prove=prove, rebuild=True)
    assert [str(second.python)] == asked
    assert ([1, 2], 2) == ([item.number for item in Generations(home).list()], second.number)
    assert receipt_of(second)["compiled_files_shared"] >= 2


@pytest.fixture
def asked_by_uv(shop, no_index, monkeypatch):
    """An index that uv's own variable names, and pip's configuration does not."""
    index = tools.Index(shop.wheels, hashes=True)
    no_index.write_text("[global]\n")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    yield index
    index.server.shutdown()
    index.server.server_close()


def test_a_second_generation_of_the_same_lock_asks_no_index(asked_by_uv, shop, home):
    """Its files are those in uv's cache; pip is there, and a pinned setuptools stays, whatever Python brings along."""
    digest = tools.make_wheel(shop.wheels, "setuptools", "99.0")
    pins = [f"{name}=={version} --hash=sha256:{shop.hashes[name]}" for name, version in PINS]
    plan = shop.plan(shop.profile(lines=[*pins, f"setuptools==99.0 --hash=sha256:{digest}"]), "uv")
    first = apply(plan, home, imports, silent, find_installer())
    asked_by_uv.paths.clear()
    told = []
    second = apply(plan, home, imports, told.append, find_installer(), rebuild=True)
    assert ([], 2) == (asked_by_uv.paths, second.number)
    assert "Installing a tiny stack from uv's cache." in told
    assert receipt_of(first)["packages"] == receipt_of(second)["packages"]
    assert {"pip", "alpha", "beta", "setuptools"} == set(receipt_of(second)["packages"])
    files = [second_site(made.python) / "alpha" / "__init__.py" for made in (first, second)]
    assert files[0].samefile(files[1])
    for command in ([str(second.python), "-m", "pip"], [str(second.folder / "bin" / "pip")]):
        done = subprocess.run([*command, "check"], capture_output=True, text=True)
        assert 0 == done.returncode, done.stdout + done.stderr


def test_a_second_generation_asks_the_index_where_the_cache_was_emptied(asked_by_uv, shop, home):
    """As the first one did; pip is there too."""
    plan = shop.plan(shop.profile(), "uv")
    apply(plan, home, imports, silent, find_installer())
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    asked_by_uv.requests.clear()
    second = apply(plan, home, imports, silent, find_installer(), rebuild=True)
    assert (2, 2) == (len(asked_by_uv.requests), second.number)
    assert {"alpha", "beta", "pip"} <= set(receipt_of(second)["packages"])


REBUILD = """
import pickle, subprocess, sys
from pathlib import Path
from envdoc.doctor.fix.apply import apply, find_installer
def prove(python):
    subprocess.run([python, "-B", "-c", "import alpha, beta"], check=True)
    return []
plan = pickle.loads(Path(sys.argv[1]).read_bytes())
apply(plan, Path(sys.argv[2]), prove, print, find_installer(), prove=prove, rebuild=True)
"""
KILLS = 8


def test_a_second_generation_that_is_killed_leaves_the_first_as_it_was(asked_by_uv, shop, home, quick_python):
    """SIGKILL at moments spread over a build from uv's cache: nobody goes on, nothing of the first was touched."""
    plan = killing.write_plan(shop.profile(), quick_python, home.parent / "plan.pickle")
    command = [sys.executable, "-c", REBUILD, str(plan), str(home)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    first = Generations(home).current()
    started, before = time.monotonic(), killing.digest(first.folder)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    for place in range(1, KILLS + 1):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(seconds * place / (KILLS + 1))
        killing.kill(child, "self" if place % 2 else "group")
        assert killing.nobody_in(home / "envs")
        assert killing.imports(home / "current" / "bin" / "python", "beta", "alpha")
        assert before == killing.digest(first.folder)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Installing a tiny stack from uv's cache." in done.stdout
    assert all((item.folder / "bin" / "pip").exists() for item in Generations(home).list())
    whole = {item.name for item in Generations(home).list()}
    assert whole == killing.names(home / "envs")


def second_site(python):
    """The site-packages of that interpreter's environment."""
    return next(iter((tools.Path(python).parent.parent).glob("lib/*/site-packages")))


def test_a_proof_that_fails_removes_the_new_one_and_keeps_the_old(plan, home):
    """The switch comes last: before it nothing that is in use was touched."""
    first = apply(plan, home, imports, silent, find_installer())
    with pytest.raises(FixError, match="The new environment does not work"):
        apply(
            plan, home, imports, silent, find_installer(), prove=lambda python: [tools.check()], rebuild=True
        )
    assert (1, first.name) == (len(Generations(home).list()), Generations(home).current().name)


def test_an_environment_that_is_not_consistent_is_refused(shop, home, no_index):
    """alpha wants a beta of 2 or newer; a lock that pins an older one does not pass, whichever tool asks."""
    digest = tools.make_wheel(shop.wheels, "beta", "1.0")
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    lines = [f"alpha==1.0 --hash=sha256:{shop.hashes['alpha']}", f"beta==1.0 --hash=sha256:{digest}"]
    with pytest.raises(FixError, match=r"The new environment is not consistent: .*beta"):
        apply(shop.plan(shop.profile(lines=lines), "uv"), home, imports, silent, find_installer())
    assert () == Generations(home).list()


def test_a_generation_whose_python_is_gone_is_built_anew(plan, home):
    """One sentence names it, and the same lock is built again with a Python that is there."""
    first = apply(plan, home, imports, silent, find_installer())
    for name in ("python", "python3"):
        (first.folder / "bin" / name).unlink()
        (first.folder / "bin" / name).symlink_to("/nowhere/bin/python3")
    told = []
    second = apply(plan, home, imports, told.append, find_installer())
    assert 2 == second.number
    assert any(f"The Python that `{first.name}` was built from in" in line for line in told)


def test_the_base_of_an_environment(tmp_path):
    """Nothing against one whose Python is there; another minor version in its place is one sentence."""
    python = tools.Python(tools.MINOR, tools.BASE, tools.MINOR + ".1")
    folder = tmp_path / "made"
    make_environment(python, folder, find_installer().program)
    assert "" == base_problem(folder, tools.MINOR + ".1")
    problem = base_problem(folder, "3.7.1")
    assert problem.startswith("`made` was built with Python 3.7, and the Python in `")
    assert problem.endswith(f"` is now {tools.MINOR}.")
