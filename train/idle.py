"""How long a GPU stood idle: what its own record of kernels and copies leaves free of the time that passed.

torch.profiler writes down when each kernel, copy and fill ran (CUPTI; nothing of the CPU, so that it costs little).
The time is the GPU's own, between two marks that lie in its queue some whole updates apart, so that launching, laying,
clipping, the optimizer and everything between two updates count. Nobody waits for the GPU at a mark: from a standstill
the host would have to get ahead of it first; nor do the first updates count that the profiler sees. An update of far
fewer tokens than the others is done before the host has begun the next one: of a 7B one of 1,498 tokens among ten of
8,192 made 1% into 4% (H200, 2026-12-01). `scripts/prove-idle` prints it for a run.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import torch
from transformers import TrainerCallback

# Updates. The first ones compile, allocate and choose kernels; BEFORE the mark the profiler begins.
SKIPPED, MEASURED = 10, 20
BEFORE = 6
WORK = (
    "kernel",
    "gpu_memcpy",
    "gpu_memset",
)  # in the trace; its other entries on a GPU only name ranges of these
MARK = "spin_kernel"  # what torch.cuda._sleep starts, and nobody who trains

Event = Mapping[str, Any]
Gap = Tuple[float, str, str]  # seconds, what ended before it and what began after


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


def work_between(trace: Mapping[str, Any]) -> List[Event]:
    """What a GPU did from the first mark to the last one, both with it, in order: a trace as torch.profiler exports it.

    Nothing where there are fewer than two marks.
    """
    work = [event for event in trace["traceEvents"] if event.get("cat") in WORK and event.get("ph") == "X"]
    work.sort(key=lambda event: float(event["ts"]))
    marks = [number for number, event in enumerate(work) if MARK in str(event["name"])]
    return work[marks[0] : marks[-1] + 1] if len(marks) > 1 else []


def gaps(work: Sequence[Event]) -> List[Gap]:
    """The times in which the GPU did nothing, the longest first. Streams run beside each other."""
    found: List[Gap] = []
    until, last = None, ""
    for event in work:
        start, stop = _span(event)
        if until is not None and start > until:
            found.append(((start - until) / 1e6, last, str(event["name"])))
        if until is None or stop > until:
            until, last = stop, str(event["name"])
    return sorted(found, reverse=True)


def idle(work: Sequence[Event], found: Sequence[Gap], updates: int) -> Idle:
    """The measure, of everything that ran in those updates and of its gaps."""
    spans = [_span(event) for event in work]
    seconds = (max(stop for _, stop in spans) - spans[0][0]) / 1e6
    nothing = [gap[0] for gap in found]
    return Idle(updates, seconds, seconds - sum(nothing), max(nothing, default=0.0))


def _span(event: Event) -> Tuple[float, float]:
    """Microseconds, from and to."""
    return float(event["ts"]), float(event["ts"]) + float(event["dur"])


class IdleWatch(TrainerCallback):  # type: ignore[misc]
    """Measures some updates of a run on a GPU after those that are skipped; `found` is None until then."""

    def __init__(self, skipped: int = SKIPPED, measured: int = MEASURED) -> None:
        self.skipped, self.measured = skipped, measured
        self.found: Optional[Idle] = None
        self.gaps: List[Gap] = []
        self._done = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._done += 1
        if self._done == self.skipped - BEFORE:
            self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._profiler.start()
        elif self._done == self.skipped:
            torch.cuda._sleep(1)
        elif self._done == self.skipped + self.measured:
            torch.cuda._sleep(1)
            torch.cuda.synchronize()
            self._profiler.stop()
            with tempfile.TemporaryDirectory(prefix="envdoc-idle-") as scratch:
                path = Path(scratch) / "trace.json"
                self._profiler.export_chrome_trace(str(path))
                work = work_between(json.loads(path.read_text(encoding="utf-8", errors="replace")))
            if work:
                self.gaps = gaps(work)
                self.found = idle(work, self.gaps, self.measured)
