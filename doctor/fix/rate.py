"""How fast files come to this machine, as measured by the last download; never estimated.

`rate.json` in envdoc's folder: {"bytes_per_second", "measured_at" (ISO 8601, UTC), "how"}. Written after every real
download of an installer, and by `envdoc check --online`; read by the plan.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from envdoc.doctor.fix.journal import now

FILE = "rate.json"
# Less says more about latency than about the line. Our judgement.
_LEAST_BYTES = 1_000_000
_LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class Rate:
    """A measured rate, when it was measured (ISO 8601, UTC) and by what."""

    bytes_per_second: float
    measured_at: str
    how: str

    def seconds(self, download_bytes: int) -> float:
        """How long so many bytes take at this rate."""
        return download_bytes / self.bytes_per_second


def remember(
    home: Path, downloaded_bytes: int, seconds: float, how: str = "the last download of an environment"
) -> None:
    """Keep the rate of a download of `downloaded_bytes` in `seconds`; too small a one is no measurement.

    Never raises: a rate that cannot be kept is no reason to fail.
    """
    if downloaded_bytes < _LEAST_BYTES or seconds < _LEAST_SECONDS:
        return
    at = now()
    rate = Rate(downloaded_bytes / seconds, at, how)
    temporary = home / f".{FILE}-{os.getpid()}"
    with contextlib.suppress(OSError):
        home.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(rate)) + "\n", encoding="utf-8")
        temporary.replace(home / FILE)


def known(home: Path) -> Optional[Rate]:
    """The rate that was measured last; None where none was, or where its file cannot be read."""
    try:
        told = json.loads((home / FILE).read_text(encoding="utf-8"))
        rate = Rate(float(told["bytes_per_second"]), str(told["measured_at"]), str(told["how"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rate if 0 < rate.bytes_per_second < float("inf") else None
