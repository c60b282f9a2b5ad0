"""A parameter that the loss does not use, under DDP; with find_unused_parameters=True the second step is made."""

import _borrowed
import torch
from _one_rank import start
from _verdict import raises
from torch.nn.parallel import DistributedDataParallel

start()


class Unused(torch.nn.Module):
    """Two layers of which the second is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


def steps(**options: bool) -> str:
    model = DistributedDataParallel(Unused(), **options)
    for _ in range(2):
        model(torch.ones(2, 4)).sum().backward()
    return "stepped"


_borrowed.cured(lambda: steps(find_unused_parameters=True), "stepped")
raises(steps, "Expected to have finished reduction in the prior iteration")
