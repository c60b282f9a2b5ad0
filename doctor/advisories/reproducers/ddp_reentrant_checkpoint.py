"""Re-entrant checkpointing under DDP that looks for unused parameters; without re-entrance the step is made."""

import _borrowed
import torch
from _one_rank import start
from _verdict import raises
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

start()


class Block(torch.nn.Module):
    """One layer, checkpointed."""

    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.use_reentrant = use_reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.layer, x, use_reentrant=self.use_reentrant)


def step(use_reentrant: bool) -> str:
    model = DistributedDataParallel(Block(use_reentrant), find_unused_parameters=True)
    model(torch.ones(2, 4, requires_grad=True)).sum().backward()
    return "stepped"


_borrowed.cured(lambda: step(use_reentrant=False), "stepped")
raises(lambda: step(use_reentrant=True), "Expected to mark a variable ready only once|marked as ready twice")
