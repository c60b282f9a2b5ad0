"""The optimizer's step, enqueued while the passes still run; the GPU itself decides whether it moves a weight.

What stops a run must be known before a weight moves, and to know it is to wait for the GPU: with the step after the
wait it stood still for 5 to 6 ms in each update (H200, 2026-11-30). torch's fused optimizers take a flag for that:
where `found_inf` is 1 the kernel leaves weights and state as they are. It was made for loss scaling; torch 2.0 has it.
"""

from typing import Any

import torch


class QueuedStep:
    """Of the optimizer that Trainer holds, in accelerate's wrapper or without one."""

    def __init__(self, optimizer: Any) -> None:
        self.outer, self.inner = optimizer, getattr(optimizer, "optimizer", optimizer)
        self.taken = False  # the step that Trainer is about to ask for
        self.plain = self.outer.step
        self.outer.step = self._unless_taken

    def take(self, numbers: torch.Tensor) -> None:
        """One step, now, of which nothing comes where one of `numbers` is none; Trainer's own is then left out."""
        self.inner.found_inf = (~torch.isfinite(numbers)).any().float()
        try:
            self.inner.step()
        finally:
            del self.inner.found_inf
        self.taken = True

    def _unless_taken(self, *given: Any, **named: Any) -> Any:
        if self.taken:
            self.taken = False
            return None
        return self.plain(*given, **named)


def can_be_queued(optimizer: Any) -> bool:
    """Whether every group of it takes its step in one kernel that heeds the flag."""
    inner = getattr(optimizer, "optimizer", optimizer)
    return (
        isinstance(inner, (torch.optim.Adam, torch.optim.AdamW))
        and bool(getattr(inner, "_step_supports_amp_scaling", False))
        and all(group.get("fused") for group in inner.param_groups)
    )
