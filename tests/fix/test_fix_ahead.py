"""What is compiled while the other wheels download: the right modules, nothing run, and only where Python takes it."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.fix import ahead
from envdoc.doctor.fix.apply import apply, find_installer
from envdoc.doctor.fix.bytecode import link_bytecode
from envdoc.doctor.fix.pythons import available_pythons
from envdoc.doctor.fix.uv_installer import UvInstaller

SCRIPT = Path(ahead.__file__).with_name("_ahead.py")
SOURCE = """
import os, json.decoder as d
from typing import TYPE_CHECKING
import typing
from . import near
from ..up.side import *
if TYPE_CHECKING:
    from only import types
else:
    import at_run
if typing.TYPE_CHECKING:
    import only_types
try:
    import maybe
except ImportError:
    import instead
def later():
    import never
import last
"""
IMPORTED = {
    "os",
    "json.decoder",
    "typing",
    "typing.TYPE_CHECKING",
    "p.q",
    "p.q.near",
    "p.up.side",
    "at_run",
    "maybe",
}


def test_imports_are_read_from_the_bytecode_of_every_python_here():
    """At the module's own level, relative ones resolved; not in functions and not under TYPE_CHECKING."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); sys.dont_write_bytecode = True\n"
        f"from _imported import imported\nprint(*imported(compile({SOURCE!r}, 'x', 'exec'), 'p.q'))"
    )
    pythons = {python.path for python in available_pythons() if not python.problem} | {sys.executable}
    for python in pythons:
        told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert IMPORTED | {"instead", "last"} == set(told), python


@pytest.fixture
def unpacked(tmp_path):
    """A cache as uv has it: torch 2.0 of the lock, which imports half of itself, and a torch that nobody pinned."""
    for archive, version, value in (("one", "2.0+cpu", "1"), ("two", "1.0", "2")):
        folder = tmp_path / "cache" / "archive-v0" / archive
        (folder / "torch").mkdir(parents=True)
        (folder / f"torch-{version}.dist-info").mkdir()
        (folder / "torch" / "__init__.py").write_text(f"from . import used\nVALUE = {value}\n1 / 0\n")
        (folder / "torch" / "used.py").write_text("import sys\n")
        (folder / "torch" / "unused.py").write_text("import sys\n")
        (folder / "torch" / "broken.py").write_text("print x\n")
    return tmp_path / "cache"


def compiled(folder):
    """The compiled modules under it, by their sources' names."""
    return {path.name.partition(".")[0] for path in folder.rglob("*.pyc")}


def wait_for(condition, seconds=30.0):
    """True once it holds."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def crawl(cache, staging, site):
    """The script at work on that cache."""
    archives = str(cache / "archive-v*" / "[!.]*")
    plan = {"archives": archives, "pins": {"torch": "2.0"}, "staging": str(staging), "site": str(site)}
    return subprocess.Popen([sys.executable, "-B", str(SCRIPT), json.dumps(plan)])


def test_what_is_imported_is_compiled_as_if_it_were_installed(unpacked, tmp_path):
    """Of the pinned wheel, what its imports lead to; each result is bound to the very file, and Python takes it."""
    staging, site = tmp_path / "staging", tmp_path / "site"
    child = crawl(unpacked, staging, site)
    assert wait_for(lambda: {"__init__", "used"} == compiled(staging))
    one = unpacked / "archive-v0" / "one" / "torch"
    (site / "torch").mkdir(parents=True)
    for name in ("__init__.py", "used.py"):
        os.link(str(one / name), str(site / "torch" / name))
    child.terminate()
    assert 0 == child.wait(20)
    assert 2 == link_bytecode(staging, site)
    (taken,) = site.rglob("used*.pyc")
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from torch import used; print(used.__cached__)"
    (site / "torch" / "__init__.py").unlink()
    before = taken.stat().st_mtime_ns
    told = subprocess.run([sys.executable, "-v", "-c", code], capture_output=True, text=True, check=True)
    assert f"# code object from {str(taken)!r}" in told.stderr
    assert (str(taken), before) == (told.stdout.strip(), taken.stat().st_mtime_ns)


def test_what_is_installed_meanwhile_is_compiled_in_its_place(unpacked, tmp_path):
    """A file that is in the new environment already needs no link afterwards; a wheel that comes later is seen."""
    site, place = tmp_path / "site", unpacked / "archive-v0" / "one"
    place.rename(unpacked / "later")
    child = crawl(unpacked, tmp_path / "staging", site)
    (site / "torch").mkdir(parents=True)
    for name in ("__init__.py", "used.py"):
        os.link(str(unpacked / "later" / "torch" / name), str(site / "torch" / name))
    (unpacked / "later").rename(place)
    assert wait_for(lambda: {"__init__", "used"} == compiled(site))
    child.terminate()
    assert (0, []) == (
        child.wait(20),
        [path for path in site.rglob("*") if path.name.endswith(str(child.pid))],
    )


def test_what_cannot_be_linked_is_compiled_once_it_is_installed(unpacked, tmp_path):
    """A cache on another disk: uv copies, and the compiled file is bound to the copy."""
    site = tmp_path / "site"
    (tmp_path / "staging").write_text("no folder\n")
    child = crawl(unpacked, tmp_path / "staging", site)
    time.sleep(0.3)
    shutil.copytree(str(unpacked / "archive-v0" / "one" / "torch"), str(site / "torch"))
    assert wait_for(lambda: {"__init__", "used"} == compiled(site))
    child.terminate()
    assert 0 == child.wait(20)


@pytest.mark.slow
def test_a_build_has_it_beside_itself_and_none_of_it_afterwards(shop, home, no_index, monkeypatch):
    """What nobody has imported is compiled, since the wheel's name is a root; of the work nothing is left."""
    monkeypatch.setattr(ahead.os, "sched_getaffinity", lambda pid: {0, 1})
    sha256 = tools.make_wheel(shop.wheels, "peft", "1.0")
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    plan = shop.plan(shop.profile(lines=[f"peft==1.0 --hash=sha256:{sha256}"]), "uv")

    def prove(python):
        there = Path(python).parent.parent / "lib"
        assert wait_for(
            lambda: any("/peft/__pycache__/__init__" in str(path) for path in there.rglob("*.pyc"))
        )
        return []

    made = apply(plan, home, prove, lambda line: None, find_installer())
    assert not (made.folder / ".tmp").exists()
    assert [] == tools.holders(made.folder)


def test_bytes_that_uv_has_written_are_counted_by_the_kernel(tmp_path):
    """As many as a process has written; None where it is gone."""
    code = f"open({str(tmp_path / 'file')!r}, 'wb').write(bytes(3_000_000)); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    written = UvInstaller("uv").arriving(child.pid)
    child.communicate(b"\n")
    assert written is None or 3_000_000 <= written < 3_100_000
    assert Path("/proc/self/io").exists() == (written is not None)
    assert UvInstaller("uv").arriving(child.pid) is None
