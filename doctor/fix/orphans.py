"""Processes that a killed build left behind: a child dies with envdoc, but a child of that child may go on writing."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import List

_WAIT_SECONDS = 2.0


def end_orphans(folder: Path) -> None:
    """SIGKILL for every process of this user that was started from an interpreter inside that folder.

    Only for a folder that is incomplete, with envdoc's lock held: then nobody can be at work in it rightly.
    """
    found = _started_from(folder)
    for pid in found:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    limit = time.monotonic() + _WAIT_SECONDS
    while found and time.monotonic() < limit:
        time.sleep(0.01)
        found = _started_from(folder)


def _started_from(folder: Path) -> List[int]:
    """Their ids, by the first word of their command lines; none where there is no /proc."""
    start, found = os.fsencode(str(folder)) + b"/bin/", []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cmdline").read_bytes().startswith(start) and entry.stat().st_uid == os.getuid():
                found.append(int(entry.name))
    return found
