"""What takes seconds, and who chooses a machine wants to know: the servers and the disks, measured side by side."""

import dataclasses
import time
from threading import Thread
from typing import List, Mapping, Tuple

from envdoc.doctor.facts.disk_speed import disk_speeds
from envdoc.doctor.facts.snapshot import DiskSpeed, Snapshot

LIMIT_SECONDS = 16.0  # network.LIMIT_SECONDS, and a moment


def measured(snapshot: Snapshot, python: str, environ: Mapping[str, str], online: bool) -> Snapshot:
    """The snapshot with the disks' speed; with the servers' answers too where `online`. Takes LIMIT_SECONDS at most."""
    end = time.monotonic() + LIMIT_SECONDS
    speeds: List[Tuple[DiskSpeed, ...]] = []
    thread = Thread(target=lambda: speeds.append(disk_speeds(snapshot.storage)), daemon=True)
    thread.start()
    if online:
        from envdoc.doctor.facts.network import measure  # --deep alone has no use for it

        network, model = measure(python, snapshot.packages, environ, snapshot.model)
        snapshot = dataclasses.replace(snapshot, network=network, model=model)
    thread.join(max(0.0, end - time.monotonic()))
    return dataclasses.replace(snapshot, disk_speeds=speeds[0] if speeds else ())
