"""From the way in which a child ended to a result: its exit status, its last line, its last stage."""

import json
import re
import signal
from typing import Dict, Optional

from envdoc.doctor.facts.snapshot import ProbeResult

STAGE = "envdoc-probe: "  # as in _probe.py, which the target imports and envdoc does not
ENDED_BADLY = ("crashed", "signal", "timeout")
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b")


def interpret(
    name: str,
    returncode: int,
    stdout: str,
    stderr: str,
    seconds: float,
    timeout_seconds: Optional[float] = None,
) -> ProbeResult:
    """The result of a child that ended so; `timeout_seconds` is the limit where it was killed at that."""
    data = _last_line(stdout)
    stages = [line[len(STAGE) :] for line in stderr.splitlines() if line.startswith(STAGE)]
    while_at = f" while {stages[-1]}" if stages else ""
    if timeout_seconds is not None:
        error = f"not done after {timeout_seconds:g} s{while_at}"
        return ProbeResult(name, "timeout", data or {}, error, seconds)
    if returncode < 0:
        return ProbeResult(name, "signal", data or {}, signal_name(-returncode) + while_at, seconds)
    if returncode > 0:
        error = _exception(stderr) or f"ended with status {returncode}"
        return ProbeResult(name, "crashed", data or {}, error + while_at, seconds)
    if data is None:
        shown = (stdout.strip().splitlines() or ["nothing"])[-1][:80]
        return ProbeResult(name, "crashed", {}, f"printed no result on its last line, but: {shown}", seconds)
    if "skipped" in data:
        return ProbeResult(name, "skipped", {}, str(data["skipped"]), seconds)
    return ProbeResult(name, "ran", data, "", seconds)


def signal_name(number: int) -> str:
    """`SIGBUS` and the like."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(stdout: str) -> Optional[Dict[str, object]]:
    lines = stdout.strip().splitlines()
    try:
        data = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _exception(stderr: str) -> str:
    """The exception that a traceback ends with, on one line; "" where there is no traceback."""
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith(STAGE)]
    found = [index for index, line in enumerate(lines) if _EXCEPTION.match(line)]
    return " ".join(" ".join(lines[found[-1] :]).split())[:300] if found else ""
