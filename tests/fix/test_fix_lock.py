"""One envdoc at a time: with flock, and with a lock file where the file system has no flock."""

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.lock import held

HOLDER = """
import sys
from pathlib import Path
import fcntl, errno
if sys.argv[2] == "none":
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = refuse
from envdoc.doctor.fix.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["flock", "none"])
def locks(request, monkeypatch):
    """A file system with flock, and one that answers ENOLCK."""
    if request.param == "none":
        without_flock(monkeypatch)
    return request.param


def without_flock(monkeypatch, number=errno.ENOLCK):
    """flock fails with that error."""

    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)


def holder(home, locks):
    """Another process that holds the folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home), locks], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert b"held\n" == child.stdout.readline()
    return child


def test_a_second_one_is_told_who_is_at_work_and_a_killed_one_holds_nothing(locks, tmp_path):
    """Held by another process: refused with its number; after SIGKILL of it the lock is free, and free again later."""
    child = holder(tmp_path, locks)
    with pytest.raises(FixError, match=rf"Another envdoc \(process {child.pid}.*\) is at work"), held(
        tmp_path
    ):
        pass
    child.kill()
    child.communicate()
    for _ in range(2):
        with held(tmp_path):
            pass
    assert {"lock"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_the_lock_file_names_its_holder_and_goes(number, tmp_path, monkeypatch):
    """Whatever word the file system has for `no locks here`."""
    without_flock(monkeypatch, number)
    with held(tmp_path):
        assert str(os.getpid()) == json.loads((tmp_path / "lock.held").read_text())["pid"]
    assert not (tmp_path / "lock.held").exists()


@pytest.mark.parametrize(
    ("changes", "free"),
    [
        ({"boot": "another"}, True),
        ({"started": "1"}, True),  # the number is somebody else's by now
        ({"pid": "4194305"}, True),
        ({"host": "elsewhere"}, False),
        ({"machine": "another"}, False),
        ({"processes": "pid:[1]"}, False),  # another container of this machine
        ({}, False),
    ],
)
def test_a_lock_that_was_left_is_told_from_one_that_is_held(changes, free, tmp_path, monkeypatch):
    """Cleared only where this machine knows that its holder is gone; otherwise the file to remove is named."""
    without_flock(monkeypatch)
    with held(tmp_path):
        told = json.loads((tmp_path / "lock.held").read_text())
    (tmp_path / "lock.held").write_text(json.dumps({**told, **changes}))
    if free:
        with held(tmp_path):
            pass
        assert {"lock"} == {path.name for path in tmp_path.iterdir()}
        return
    with pytest.raises(FixError, match="at work") as caught, held(tmp_path):
        pass
    assert changes == {} or f"rm '{tmp_path}/lock.held'" in caught.value.hint


def test_a_lock_file_that_says_nothing_is_not_removed(tmp_path, monkeypatch):
    """A kill between its making and its text, or somebody's own file: told with the command, and left."""
    without_flock(monkeypatch)
    (tmp_path / "lock.held").write_text("")
    with pytest.raises(FixError, match="does not say which envdoc"), held(tmp_path):
        pass
    assert (tmp_path / "lock.held").exists()


def test_a_lock_whose_file_was_removed_holds_nobody_off(tmp_path):
    """`rm -r` of the folder's content while one is at work: the next one takes a lock of its own and does not crash."""
    with held(tmp_path):
        (tmp_path / "lock").unlink()
        with held(tmp_path):
            pass
