"""The adapter as it was when it last did well, in the CPU's memory: what a run that diverges still leaves behind."""

from pathlib import Path
from typing import Any, Dict, Optional

import torch

from envdoc.train import checkpoint
from envdoc.train.parallel import shards, world

NAME = "last-good"  # a folder in the run's; loads as an adapter by itself


class LastGood:
    """A copy of the trained weights, overwritten at each update whose loss is sound (4 bytes a weight)."""

    def __init__(self) -> None:
        self.step: Optional[int] = None  # updates that made the copy
        self._copies: Dict[str, torch.Tensor] = {}

    def keep(self, model: Any, step: int) -> None:
        """Copy the weights as they are before the update is taken; on a GPU the copy runs beside the computation."""
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            if name not in self._copies:
                pinned = weight.device.type == "cuda"
                self._copies[name] = torch.empty_like(weight, device="cpu", pin_memory=pinned)
            self._copies[name].copy_(weight.detach(), non_blocking=True)
        self.step = step

    def write(self, model: Any, run_folder: Path) -> Path:
        """Put the copy back into the model and save it as an adapter. Raises OSError, SafetensorError."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in self._copies:
                    weight.copy_(self._copies[name])
        partial, final = run_folder / f"{checkpoint.PARTIAL}{NAME}", run_folder / NAME
        checkpoint.write_adapter(shards.whole_adapter(model) if world.sharded() else model, partial, final)
        return final
