"""Numbers on their way from the GPU: what is enqueued after them is not waited for.

Of an update two things must be known to the CPU. The losses are there when the last forward pass is done, a whole
backward pass before the GPU runs out of work; to wait for them costs nothing. The gradient's norm is there when nothing
is left to do: to wait for it let the GPU stand still for 3.5 ms an update (H200, 2026-11-30). So it is asked for one
update later where the step has heeded it by itself (queued_step.py), and entries.py keeps the update until then.
"""

import time
from typing import Any, List, Optional, Sequence

import torch

from envdoc.train import nonfinite


class OnTheWay:
    """Some numbers of a tensor (count,) on any device."""

    def __init__(self, numbers: torch.Tensor) -> None:
        self.source, self.numbers, self.there = numbers, numbers, None
        if numbers.is_cuda:
            self.numbers = torch.empty_like(numbers, device="cpu", pin_memory=True)
            self.numbers.copy_(numbers, non_blocking=True)
            self.there = torch.cuda.Event()
            self.there.record()

    def wait(self) -> List[float]:
        """The numbers."""
        if self.there is not None:
            self.there.synchronize()
        told: List[float] = self.numbers.tolist()
        return told


class Instant:
    """A point in time: on a GPU that at which everything enqueued so far is done, else now."""

    def __init__(self, device: torch.device) -> None:
        self._event, self._now = None, time.perf_counter()
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record()

    def is_there(self) -> bool:
        """Whether it has come."""
        return self._event is None or bool(self._event.query())

    def since(self, earlier: "Instant") -> float:
        """Seconds since an earlier one of the same device; waits for it."""
        if self._event is None:
            return self._now - earlier._now
        self._event.synchronize()
        return float(earlier._event.elapsed_time(self._event)) / 1000


class Gradient:
    """The norm of an update's whole gradient; those of its parts, by name, for when it is no number."""

    def __init__(
        self, norm: torch.Tensor, names: Sequence[str] = (), parts: Optional[torch.Tensor] = None
    ) -> None:
        self.names, self.parts = names, parts
        self._norm = OnTheWay(norm.detach().reshape(1))

    def norm(self) -> float:
        """The norm before it was clipped; waits for it."""
        return self._norm.wait()[0]

    def first_fault(self, model: Any) -> Optional[str]:
        """The name of the first weight whose gradient is not finite; by the model's own where no parts are known."""
        if self.parts is None:
            return nonfinite.first_gradient(model)
        finite = torch.isfinite(self.parts).tolist()
        return next((name for name, is_finite in zip(self.names, finite) if not is_finite), None)
