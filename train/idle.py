"""How long a GPU stood idle: what its own record of kernels and copies leaves free of the time that passed.

torch.profiler writes down when each kernel, copy and fill ran (CUPTI; nothing of the CPU, so that it costs little).
The time is taken by the clock between two waits for the GPU, some whole updates apart, so that launching, laying,
clipping, the optimizer and everything between two updates count. `scripts/prove-idle` prints it for a run.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, List, Mapping, Optional, Tuple

import torch
from transformers import TrainerCallback

SKIPPED, MEASURED = 5, 20  # updates: the first ones compile, allocate and choose kernels
WORK = (
    "kernel",
    "gpu_memcpy",
    "gpu_memset",
)  # in the trace; its other entries on a GPU only name ranges of these

Span = Tuple[float, float]  # microseconds, from and to
Gap = Tuple[float, str, str]


@dataclass(frozen=True)
class Idle:
    """What was measured over some whole updates."""

    updates: int
    seconds: float
    busy_seconds: float
    longest_gap_seconds: float

    @property
    def share(self) -> float:
        """The part of the time in which nothing ran, from 0 to 1."""
        return max(0.0, 1 - self.busy_seconds / self.seconds)

    def line(self) -> str:
        """The measure in a sentence."""
        return (
            f"GPU idle {100 * self.share:.2f}% of the time: {self.busy_seconds:.3f} s of work in {self.seconds:.3f} s, "
            f"{self.updates} updates; the longest gap was {1000 * self.longest_gap_seconds:.2f} ms."
        )


def spans(trace: Mapping[str, Any]) -> List[Span]:
    """When the GPU worked, from a trace as torch.profiler exports it."""
    return [
        (float(event["ts"]), float(event["ts"]) + float(event["dur"]))
        for event in trace["traceEvents"]
        if event.get("cat") in WORK and event.get("ph") == "X"
    ]


def gaps(trace: Mapping[str, Any], count: int = 8) -> List[Gap]:
    """The longest times in which the GPU did nothing: seconds, what ended before, and what began after."""
    work = [event for event in trace["traceEvents"] if event.get("cat") in WORK and event.get("ph") == "X"]
    found, until, last = [], None, ""
    for event in sorted(work, key=lambda event: float(event["ts"])):
        start, stop = float(event["ts"]), float(event["ts"]) + float(event["dur"])
        if until is not None and start > until:
            found.append(((start - until) / 1e6, last, str(event["name"])))
        if until is None or stop > until:
            until, last = stop, str(event["name"])
    return sorted(found, reverse=True)[:count]


def joined(work: Iterable[Span]) -> List[Span]:
    """The same time without overlaps, in order: streams run beside each other."""
    whole: List[Span] = []
    for start, stop in sorted(work):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], stop))
        else:
            whole.append((start, stop))
    return whole


def idle(work: Iterable[Span], seconds: float, updates: int) -> Idle:
    """The measure, of everything that ran in `seconds`."""
    whole = joined(work)
    gaps = [after[0] - before[1] for before, after in zip(whole, whole[1:])]
    return Idle(
        updates, seconds, sum(stop - start for start, stop in whole) / 1e6, max(gaps, default=0.0) / 1e6
    )


class IdleWatch(TrainerCallback):  # type: ignore[misc]
    """Measures some updates of a run on a GPU after those that are skipped; `found` is None until then."""

    def __init__(self, skipped: int = SKIPPED, measured: int = MEASURED) -> None:
        self.skipped, self.measured = skipped, measured
        self.found: Optional[Idle] = None
        self.gaps: List[Gap] = []
        self._done = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._done += 1
        if self._done == self.skipped:
            self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._profiler.start()
            torch.cuda.synchronize()
            self._since = time.perf_counter()
        elif self._done == self.skipped + self.measured:
            torch.cuda.synchronize()
            seconds = time.perf_counter() - self._since
            self._profiler.stop()
            with tempfile.TemporaryDirectory(prefix="envdoc-idle-") as scratch:
                path = Path(scratch) / "trace.json"
                self._profiler.export_chrome_trace(str(path))
                trace = json.loads(path.read_text(encoding="utf-8", errors="replace"))
            self.found, self.gaps = idle(spans(trace), seconds, self.measured), gaps(trace)
