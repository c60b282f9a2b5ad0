"""What is read off a training loop while it runs: time, memory, losses."""

import time
from typing import Any, Dict, List

import torch
from transformers import TrainerCallback

from bench_train.engine import Engine
from bench_train.matmul import wait


class Marks(TrainerCallback):  # type: ignore[misc]
    """Times the updates after `warm` up to `steps`."""

    def __init__(self, warm: int, timed: int) -> None:
        self.warm, self.steps = warm, warm + timed
        self.result: Dict[str, Any] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.warm:
            wait()
            self._engine = Engine()
            self.result["from"], self._since = time.time(), time.perf_counter()
        if state.global_step == self.steps:
            wait()
            self.result.update(seconds=time.perf_counter() - self._since, to=time.time(), **memory())
            self.result["engine_active"] = self._engine.share()


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
