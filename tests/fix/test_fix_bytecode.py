"""Compiled modules are shared only where Python would take them: same file, same time, same size."""

import os
import py_compile
import shutil

import pytest

from envdoc.doctor.fix.bytecode import link_bytecode


@pytest.fixture
def pair(tmp_path):
    """Two folders as two generations have them: the module in both is one file, compiled in the earlier."""
    earlier, new = tmp_path / "earlier", tmp_path / "new"
    for folder in (earlier, new):
        (folder / "alpha").mkdir(parents=True)
    (earlier / "alpha" / "one.py").write_text("ONE = 1\n")
    py_compile.compile(str(earlier / "alpha" / "one.py"))
    os.link(str(earlier / "alpha" / "one.py"), str(new / "alpha" / "one.py"))
    return earlier, new


def compiled(folder):
    """Names of the compiled modules under it."""
    return sorted(path.name for path in folder.rglob("*.pyc"))


def test_the_same_file_brings_its_compiled_form(pair):
    """It is a link, and a second call links nothing."""
    earlier, new = pair
    assert (1, compiled(earlier)) == (link_bytecode(earlier, new), compiled(new))
    (path,) = new.rglob("*.pyc")
    assert 2 == path.stat().st_nlink
    assert 0 == link_bytecode(earlier, new)


def test_a_copy_with_the_same_content_does_not(pair):
    """Another inode may be another file of the same time and size."""
    earlier, new = pair
    (new / "alpha" / "one.py").unlink()
    shutil.copy2(str(earlier / "alpha" / "one.py"), str(new / "alpha" / "one.py"))
    assert (0, []) == (link_bytecode(earlier, new), compiled(new))


def test_a_stale_one_does_not(pair):
    """The time in the header is not the source's: Python would not take it either."""
    earlier, new = pair
    os.utime(str(earlier / "alpha" / "one.py"), (1, 1))
    assert (0, []) == (link_bytecode(earlier, new), compiled(new))


def test_one_that_is_checked_by_content_or_cut_short_does_not(pair):
    """Flags in the header (PEP 552) and half a header are no match."""
    earlier, new = pair
    (path,) = earlier.rglob("*.pyc")
    whole = path.read_bytes()
    for damaged in (whole[:4] + b"\1" + whole[5:], whole[:7], b""):
        path.write_bytes(damaged)
        assert (0, []) == (link_bytecode(earlier, new), compiled(new))


def test_what_the_new_one_lacks_is_passed_over(pair):
    """A folder or module that is only in the earlier one; an earlier one that is gone."""
    earlier, new = pair
    (earlier / "beta").mkdir()
    (earlier / "beta" / "two.py").write_text("TWO = 2\n")
    py_compile.compile(str(earlier / "beta" / "two.py"))
    assert 1 == link_bytecode(earlier, new)
    assert 0 == link_bytecode(earlier / "nowhere", new)
