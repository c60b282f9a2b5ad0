"""Disks: what a build needs of each, and that too small a one is refused before anything is made."""

import os
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.cli import run
from envdoc.doctor.errors import FixError
from envdoc.doctor.fix import room
from envdoc.doctor.fix.room import FILES, MARGIN_BYTES, Room, cache_folder, demand, rooms

GIGABYTE = 10**9


@pytest.fixture
def other_disk():
    """A folder on another file system than the tests' own: shared memory."""
    place = Path("/dev/shm")
    if not place.is_dir() or place.stat().st_dev == Path("/tmp").stat().st_dev:
        pytest.skip("there is one file system only")
    return place / f"envdoc-test-{os.getpid()}"


def needs(found):
    """(purpose, bytes without the margin) of each."""
    return [(item.purpose, item.needed_bytes - MARGIN_BYTES) for item in found]


def test_on_one_disk_uv_shares_its_cache_and_pip_keeps_two_copies(home, tmp_path):
    """uv links what it unpacked; pip's cache and the build's temporary folder both hold every wheel."""
    cache = tmp_path / "cache"
    assert [("environment", 8)] == needs(rooms(home, cache, "uv", 3, 5))
    assert [("environment", 11)] == needs(rooms(home, cache, "pip", 3, 5))
    assert [("environment", 8)] == needs(rooms(home, None, "pip", 3, 5))


def test_on_two_disks_each_holds_its_own(home, other_disk):
    """uv has a copy of everything on both; pip the wheels in its cache."""
    assert [("environment", 5), ("cache", 8)] == needs(rooms(home, other_disk, "uv", 3, 5))
    assert [("environment", 8), ("cache", 3)] == needs(rooms(home, other_disk, "pip", 3, 5))
    found = rooms(home, other_disk, "uv", 3, 5)
    assert not other_disk.exists()
    assert found[0].free_bytes != found[1].free_bytes


@pytest.mark.parametrize(
    ("place", "message", "hint"),
    [
        (Room("environment", "/e", 9 * GIGABYTE, 4 * GIGABYTE),
         "The new environment needs 9.00 GB, and 4.00 GB are free on the disk of `/e`. Nothing was changed.",
         "`envdoc gc`"),
        (Room("environment", "/e", 9, 10, FILES, 12),
         "The new environment needs room for 40,000 files, and its file system has 12 inodes free on the disk of "
         "`/e`. Nothing was changed.",
         "ENVDOC_HOME"),
        (Room("cache", "/c", 9 * GIGABYTE, 4 * GIGABYTE),
         "The new environment needs, for uv's cache in `/c`, 9.00 GB, and 4.00 GB are free. Nothing was changed.",
         "UV_CACHE_DIR"),
    ],
)  # fmt: skip
def test_too_small_names_both_numbers_the_folder_and_the_way_out(place, message, hint):
    """One sentence; the first disk that lacks something."""
    with pytest.raises(FixError) as caught:
        demand([Room("environment", "/big", 1, 10), place], "uv")
    assert message == caught.value.message
    assert hint in caught.value.hint


def test_what_is_not_counted_is_not_refused():
    """btrfs and network disks count no inodes, and a disk may not answer."""
    demand([Room("environment", "/e", 5, None, FILES, None), Room("cache", "/c", 5, 5, FILES, FILES)], "pip")


def test_the_cache_is_where_the_installers_variables_say():
    """Its own variable, then XDG's, then HOME; none where it is switched off."""
    home = {"HOME": "/h"}
    assert Path("/h/.cache/pip") == cache_folder("pip", None, home)
    assert Path("/x/pip") == cache_folder("pip", None, {**home, "XDG_CACHE_HOME": "/x"})
    assert Path("/p") == cache_folder("pip", None, {**home, "PIP_CACHE_DIR": "/p"})
    assert None is cache_folder("pip", None, {**home, "PIP_NO_CACHE_DIR": "1"})
    assert Path("/u") == cache_folder("uv", "uv", {**home, "UV_CACHE_DIR": "/u"})
    assert None is cache_folder("uv", "uv", {**home, "UV_NO_CACHE": "1"})
    assert Path("/h/.cache/uv") == cache_folder("uv", "/nowhere/uv", home)


@pytest.mark.parametrize("apply", [[], ["--apply", "--yes"]])
def test_fix_refuses_before_anything_is_made(apply, home, monkeypatch, capsys, tmp_path):
    """A disk without inodes: the plan is shown, the exit code is 2, and envdoc's folder is not there."""
    monkeypatch.setenv("ENVDOC_HOME", str(home))
    monkeypatch.setattr(room, "FILES", 10**18)
    python = tools.Python("3.11", tools.BASE, "3.11.7")
    monkeypatch.setattr("envdoc.doctor.fix.pythons.available_pythons", lambda *given, **more: (python,))
    if not os.statvfs(str(tmp_path)).f_files:
        pytest.skip("this file system counts no inodes")
    empty = tmp_path / "empty"
    tools.bare_venv(empty)
    assert 2 == run(["fix", "--python", str(empty), *apply])
    told = capsys.readouterr()
    assert "A new environment: cpu-py311" in told.out
    assert "needs room for 1,000,000,000,000,000,000 files" in told.err
    assert not home.exists()
