"""What an update does once its passes are under way: exchange the gradients, measure and clip them, take the step.

All of it is enqueued while the GPU is still busy with the passes, and nothing is waited for where that can be.
"""

from typing import Any, Optional, Tuple

import torch

from envdoc.train.fast import copies
from envdoc.train.on_the_way import Gradient
from envdoc.train.parallel import shards, world
from envdoc.train.parallel.exchange import Exchange
from envdoc.train.queued_step import QueuedStep, can_be_queued
from envdoc.train.trained import Trained


class Stepping:
    """Of one trainer."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.model, self.limit = trainer, trainer.model, trainer.settings.max_grad_norm
        self.trained = Trained(self.model)
        self._exchange: Optional[Exchange] = None
        self._queued: Optional[QueuedStep] = None
        if not world.splits_optimizer():
            self.model.zero_grad = self.trained.forget

    def enqueue(self, losses: torch.Tensor) -> Tuple[Gradient, bool]:
        """The gradient's norm on its way, and whether the step was taken; else Trainer takes it.

        A step that was taken has left everything as it was where the norm or one of `losses` (count,) is no number.
        """
        if world.size() > 1 and not world.splits_optimizer():  # sharded engines exchange in the backward pass
            self._exchange = self._exchange or Exchange(self.model)
            self._exchange.average()
        norm, gradient = self._norm()
        self.trainer.guard.last_good.begin()
        if self._queued is None and not world.splits_optimizer() and self.trainer.loss_scaler() is None:
            optimizer = self.trainer.optimizer
            self._queued = QueuedStep(optimizer) if can_be_queued(optimizer) else None
        if self._queued is not None:
            self._queued.take(torch.cat([losses, norm.to(losses).reshape(1)]))
            copies.renew(self.model)
        return gradient, self._queued is not None

    def _norm(self) -> Tuple[torch.Tensor, Gradient]:
        """The norm of the whole gradient before it is clipped, where the gradients are, and the same on its way.

        Scaled ones Trainer clips.
        """
        zero = self.trainer.zero
        if zero or world.sharded():  # clipped here, since Trainer would take its own shard for the whole
            norm = torch.tensor(zero.norm() if zero else shards.clip(self.model, self.limit))
            return norm, Gradient(norm)
        names, parts = self.trained.norms()
        norm, scaler = torch.norm(parts), self.trainer.loss_scaler()
        if scaler is not None:
            norm = norm / scaler.get_scale()
        else:
            self.trained.clip(norm, self.limit)
        return norm, Gradient(norm, names, parts)
