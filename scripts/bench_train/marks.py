"""What is read off a training loop while it runs: time, memory, losses, and how long the GPU waits."""

import contextlib
import time
from typing import Any, Dict, List, Optional

import torch
from transformers import TrainerCallback

IDLE_UPDATES = 2


def wait() -> None:
    """Until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Marks(TrainerCallback):  # type: ignore[misc]
    """Times the updates after `warm` up to `steps`; with `idle`, IDLE_UPDATES more go under the profiler."""

    def __init__(self, warm: int, timed: int, idle: bool = False) -> None:
        self.warm, self.steps = warm, warm + timed
        self.idle = idle and torch.cuda.is_available()
        self.result: Dict[str, Any] = {}
        self._profiler: Optional[Any] = None

    @property
    def updates(self) -> int:
        """How many the loop must make."""
        return self.steps + IDLE_UPDATES * self.idle

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.warm:
            wait()
            self.result["from"], self._since = time.time(), time.perf_counter()
        if state.global_step == self.steps:
            wait()
            self.result.update(seconds=time.perf_counter() - self._since, to=time.time(), **memory())
            if self.idle:
                self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
                self._profiler.start()
        if state.global_step == self.updates and self._profiler is not None:
            wait()
            self._profiler.stop()
            with contextlib.suppress(AttributeError, IndexError):  # kineto's own names are no promise
                self.result["waits"] = waiting(self._profiler.profiler.kineto_results.events())
            self._profiler = None


class Losses(TrainerCallback):  # type: ignore[misc]
    """Lets transformers' Trainer log the loss of the first update and of the last, each alone, and no other."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seen: List[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_log = state.global_step in (1, self.steps - 1, self.steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.seen.append(float(logs["loss"]))


def memory() -> Dict[str, float]:
    """Peak of what tensors took, and of what the allocator held, in GiB."""
    if not torch.cuda.is_available():
        return {}
    return {
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
    }


def begin() -> None:
    """Forget the peak of what came before."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def waiting(events: Any) -> float:
    """The share of the time from the first kernel to the last in which none ran."""
    spans = sorted(
        (event.start_ns(), event.start_ns() + event.duration_ns())
        for event in events
        if event.device_type() == torch.autograd.DeviceType.CUDA
    )
    busy, until = 0, spans[0][0]
    for start, stop in spans:
        busy += max(0, stop - max(start, until))
        until = max(until, stop)
    return 1 - busy / (until - spans[0][0])
