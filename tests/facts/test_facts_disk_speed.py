"""The disk's rate is measured with real files, and nothing is left of them."""

import os
import time

from envdoc.doctor.facts import disk_speed
from envdoc.doctor.facts.disk_speed import disk_speeds
from envdoc.doctor.facts.snapshot import Storage

ROOM = {"exists": True, "writable": True, "total_bytes": 10**12, "free_bytes": 10**11, "file_system": "ext4"}


def test_the_rate_is_a_number_and_the_folder_is_left_as_it_was(tmp_path):
    """At most 256 MB and about two seconds."""
    started = time.monotonic()
    (told,) = disk_speeds((Storage("work", str(tmp_path), **ROOM),))
    assert time.monotonic() - started < disk_speed.LIMIT_SECONDS
    assert ("work", str(tmp_path), "") == (told.purpose, told.path, told.error)
    assert 1e5 < told.bytes_per_second < 1e11
    assert 0 < told.measured_bytes <= disk_speed.MOST_BYTES + disk_speed.PART_BYTES
    assert [] == list(tmp_path.iterdir())


def test_one_disk_is_measured_once(tmp_path, monkeypatch):
    """The cache is measured where it lies on another disk than the working folder."""
    monkeypatch.setattr(disk_speed, "MOST_BYTES", 1_000_000)
    work, cache = Storage("work", str(tmp_path), **ROOM), Storage("cache", str(tmp_path), **ROOM)
    other = Storage("cache", str(tmp_path), **{**ROOM, "total_bytes": 2 * 10**12})
    assert ["work"] == [one.purpose for one in disk_speeds((work, cache))]
    assert ["work", "cache"] == [one.purpose for one in disk_speeds((other, work))]


def test_what_cannot_be_measured_is_told(tmp_path):
    """A folder that is not there, not writable, or on a disk that is nearly full; a write that fails."""
    for changes, reason in (
        ({"exists": False}, "the folder is not there yet"),
        ({"writable": False}, "the folder is not writable"),
        ({"free_bytes": 10**9}, "less than 2 GB are free, and envdoc leaves them alone"),
    ):
        (told,) = disk_speeds((Storage("work", str(tmp_path), **{**ROOM, **changes}),))
        assert (reason, None) == (told.error, told.bytes_per_second)
    (told,) = disk_speeds((Storage("work", str(tmp_path / "gone"), **ROOM),))
    assert told.error.startswith("writing fails: No such file")


def test_a_disk_that_hangs_is_left_alone(tmp_path, monkeypatch):
    """An fsync on a dead network disk never returns."""
    monkeypatch.setattr(disk_speed, "LIMIT_SECONDS", 0.5)
    monkeypatch.setattr(os, "fsync", lambda _: time.sleep(10))
    started = time.monotonic()
    (told,) = disk_speeds((Storage("work", str(tmp_path), **ROOM),))
    assert time.monotonic() - started < 8
    assert told.bytes_per_second is None and "not written within" in told.error
    assert [] == list(tmp_path.iterdir())
