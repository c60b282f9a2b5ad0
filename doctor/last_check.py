"""What the probes of the last `envdoc check` saw, kept for the plan of `envdoc fix`, which runs none by itself.

`last-check.json` in envdoc's folder, of this user only. It holds for the same target in the same state: the digest
is over the interpreter, every package with its folder's time, the driver, the GPUs and the variables.
"""

import contextlib
import datetime
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import List, Optional, Tuple

from envdoc.doctor.facts.snapshot import ProbeResult, Snapshot

FILE = "last-check.json"
_FRESH_SECONDS = 24 * 3600  # memory, other processes and the network change too. Our judgement.
_FUTURE_SECONDS = 300


def remember(snapshot: Snapshot, home: Path) -> None:
    """Keep the probes' results of this snapshot. Never raises: a folder that cannot be written is no reason to fail."""
    if not snapshot.probes:
        return
    told = {
        "schema_version": 1,
        "at": datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat(),
        "state": state(snapshot),
        "probes": [asdict(probe) for probe in snapshot.probes],
    }
    temporary = home / f".{FILE}-{os.getpid()}"
    with contextlib.suppress(OSError, TypeError, ValueError):
        text = json.dumps(told)
        home.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(str(temporary), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            file.write(text + "\n")
        temporary.replace(home / FILE)


def remembered(snapshot: Snapshot, home: Path) -> Optional[Tuple[Tuple[ProbeResult, ...], str]]:
    """The probes' results for a target in this very state, and when they were made; None where none are known."""
    try:
        told = json.loads((home / FILE).read_text(encoding="utf-8"))
        if told["schema_version"] != 1 or told["state"] != state(snapshot):
            return None
        made = datetime.datetime.fromisoformat(told["at"])
        age = (datetime.datetime.now(datetime.timezone.utc) - made).total_seconds()
        if not -_FUTURE_SECONDS < age < _FRESH_SECONDS:
            return None
        return tuple(ProbeResult(**probe) for probe in told["probes"]), told["at"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def state(snapshot: Snapshot) -> str:
    """A digest of what the probes' results depend on."""
    folders: List[Tuple[str, int]] = []
    for folder in sorted({package.location for package in snapshot.packages}):
        with contextlib.suppress(OSError):
            folders.append((folder, Path(folder).stat().st_mtime_ns))
    interpreter = snapshot.interpreter
    parts = (
        snapshot.envdoc_version,
        (interpreter.path, interpreter.version, interpreter.prefix),
        sorted((package.name, package.version, package.location) for package in snapshot.packages),
        folders,
        snapshot.torch and (snapshot.torch.version, snapshot.torch.cuda),
        (snapshot.driver.version, snapshot.driver.cuda),
        [(gpu.name, gpu.capability) for gpu in snapshot.gpus],
        sorted(snapshot.variables.items()),
    )
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()
