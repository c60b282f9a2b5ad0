"""How fast a disk takes a file: written and synchronised for at most two seconds and 256 MB, then gone.

The file has no name (or loses it before the first byte), so that nothing is left whatever happens.
"""

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import List, Sequence, Tuple

from envdoc.doctor.facts.snapshot import DiskSpeed, Storage

MOST_BYTES = 256_000_000
MOST_SECONDS = 2.0
LIMIT_SECONDS = 6.0  # an fsync on a dead network disk never returns
PART_BYTES = 16_000_000
LEAST_FREE_BYTES = 2_000_000_000  # a nearly full disk is not filled further
PURPOSES = ("work", "cache")


def disk_speeds(storage: Sequence[Storage]) -> Tuple[DiskSpeed, ...]:
    """The rate of the working folder's disk, and of the hub cache's where that is another; nothing is raised."""
    found: List[DiskSpeed] = []
    seen: List[Tuple[str, int]] = []
    for place in (place for purpose in PURPOSES for place in storage if place.purpose == purpose):
        disk = (place.file_system, place.total_bytes)
        if disk not in seen:
            seen.append(disk)
            found.append(_measured(place))
    return tuple(found)


def _measured(place: Storage) -> DiskSpeed:
    told = DiskSpeed(place.purpose, place.path)
    if not place.exists:
        return dataclasses.replace(told, error="the folder is not there yet")
    if not place.writable:
        return dataclasses.replace(told, error="the folder is not writable")
    if place.free_bytes < LEAST_FREE_BYTES:
        return dataclasses.replace(told, error="less than 2 GB are free, and envdoc leaves them alone")
    done: List[DiskSpeed] = []

    def run() -> None:
        try:
            done.append(_written(told))
        except OSError as error:
            done.append(dataclasses.replace(told, error=f"writing fails: {error.strerror or error}"))

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT_SECONDS)
    return (
        done[0]
        if done
        else dataclasses.replace(told, error=f"16 MB were not written within {LIMIT_SECONDS:.0f} s")
    )


def _written(told: DiskSpeed) -> DiskSpeed:
    part = os.urandom(1 << 20) * (PART_BYTES >> 20)  # zeros would be compressed away by some file systems
    size = 0
    with tempfile.TemporaryFile(dir=Path(told.path), buffering=0) as file:
        started = time.monotonic()
        while size < MOST_BYTES and time.monotonic() - started < MOST_SECONDS:
            size += file.write(part)
            os.fsync(file.fileno())
        seconds = time.monotonic() - started
    return dataclasses.replace(told, bytes_per_second=size / max(seconds, 1e-6), measured_bytes=size)
