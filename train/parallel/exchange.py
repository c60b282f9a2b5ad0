"""The gradients of all ranks, averaged by torch's DistributedDataParallel, once an update.

What is wrapped is not the model but the trained parameters alone. DDP around a model sends gradients off in the
middle of the last backward pass; a rank that runs out of memory in that pass then leaves the others waiting for ever,
and the update cannot be done again in smaller pieces. Here every rank has finished its passes, and they have agreed
that all is well, before anything is sent. Nothing of the base is broadcast at the start either, and names, hooks
and quantised layers stay as they are in a single process. An adapter's gradients are small: what DDP gains by
sending them during the pass is not missed.
"""

from typing import Any, List

import torch


class _Trained(torch.nn.Module):
    """The trained parameters, and a loss of zero that reaches each of them."""

    def __init__(self, parameters: List[Any]) -> None:
        super().__init__()
        self.parts = torch.nn.ParameterList(parameters)

    def forward(self) -> torch.Tensor:
        return torch.stack([(part * 0.0).sum() for part in self.parts]).sum()


class Exchange:
    """Made once, after the adapter is laid and loaded; DDP checks that every rank has the same shapes."""

    def __init__(self, model: Any) -> None:
        parameters = [part for part in model.parameters() if part.requires_grad]
        self.ddp = torch.nn.parallel.DistributedDataParallel(_Trained(parameters))

    def average(self) -> None:
        """Leave in each `.grad` the mean over all ranks; a rank without one counts as zeros."""
        self.ddp().backward()
