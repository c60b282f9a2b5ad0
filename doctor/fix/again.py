"""A lock that was installed before, once more: all of it lies in uv's cache.

uv then links it by hash, asks no index and no network, and takes half the time. pip's configuration, which says where a
file would come from, is not waited for; and pip itself, the one that Python brings along, comes with the others.
"""

import hashlib
from pathlib import Path
from typing import Sequence

from envdoc.doctor.fix.delivery import from_cache
from envdoc.doctor.fix.installer import Installer, Report
from envdoc.doctor.fix.pins import Machine, read_pins


def install_again(
    installer: Installer,
    environment: Path,
    lock: Path,
    machine: Machine,
    bundled: Sequence[str],
    temporary: Path,
    log: Path,
    report: Report,
) -> bool:
    """Link every pin of `lock`, and the wheels in `bundled` that it does not pin itself, into the environment.

    False where the cache lacks a file, or `bundled` is empty: then what is there can be installed over. Raises
    Failure where the disk is full.
    """
    if not bundled:
        return False
    text = lock.read_text(encoding="utf-8")
    pinned = {pin.name for pin in read_pins(text, machine)}
    wheels = [path for path in map(Path, bundled) if _name(path) not in pinned]
    whole = temporary / "with-pip.txt"
    whole.write_text(text + "".join(map(_pinned, wheels)), encoding="utf-8")
    return from_cache(installer, environment, whole, temporary, log, report)


def _pinned(wheel: Path) -> str:
    """The line of a lock for that file."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"\n{_name(wheel)} @ {wheel.as_uri()} --hash=sha256:{digest}\n"


def _name(wheel: Path) -> str:
    return wheel.name.partition("-")[0]
