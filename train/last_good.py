"""The adapter as it was when it last did well, in the CPU's memory: what a run that diverges still leaves behind."""

from pathlib import Path
from typing import Any, Dict, Optional

import torch

from envdoc.train import checkpoint
from envdoc.train.parallel import shards, world, zero

NAME = "last-good"  # a folder in the run's; loads as an adapter by itself


class LastGood:
    """Copies of the trained weights, one kept and one being made (twice 4 bytes a weight).

    On a GPU the copy is made on a stream of its own beside the passes of an update, and is there when its loss is:
    `mark` before the passes, `begin` after they are under way, `keep` where the loss is sound.
    """

    def __init__(self) -> None:
        self.step: Optional[int] = None  # updates that made the copy
        self._copies: Dict[str, torch.Tensor] = {}
        self._spare: Dict[str, torch.Tensor] = {}
        self._trained: Dict[str, torch.Tensor] = {}
        self._unchanged: Any = None  # an event: the last update is taken
        self._stream: Any = None

    def mark(self, model: Any) -> None:
        """The weights are those that the coming passes use, and stay so until the optimizer's step."""
        if world.splits_optimizer() or not self._trained:  # an engine that shards may replace them
            named = model.named_parameters()
            self._trained = {name: zero.own_part(part) for name, part in named if part.requires_grad}
        if any(weight.is_cuda for weight in self._trained.values()):
            self._unchanged = torch.cuda.Event()
            self._unchanged.record()

    def begin(self) -> None:
        """Copy the weights; the optimizer's step, enqueued later, waits for it."""
        if self._unchanged is None:
            self._copy()
            return
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_event(self._unchanged)
        with torch.cuda.stream(self._stream):
            self._copy()
        torch.cuda.current_stream().wait_stream(self._stream)

    def keep(self, step: int) -> None:
        """The copy that was just made is the one to go back to; it is of the weights after `step` updates."""
        self._copies, self._spare = self._spare, self._copies
        self.step = step

    def write(self, model: Any, run_folder: Path) -> Path:
        """Put the copy back into the model and save it as an adapter. Raises OSError, SafetensorError."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in self._copies:
                    zero.own_part(weight).copy_(self._copies[name])
        partial, final = run_folder / f"{checkpoint.PARTIAL}{NAME}", run_folder / NAME
        checkpoint.write_adapter(shards.whole_adapter(model) if world.sharded() else model, partial, final)
        return final

    def _copy(self) -> None:
        for name, weight in self._trained.items():
            if name not in self._spare:
                pinned = weight.device.type == "cuda"
                self._spare[name] = torch.empty_like(weight, device="cpu", pin_memory=pinned)
            self._spare[name].copy_(weight.detach(), non_blocking=True)
