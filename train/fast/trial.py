"""The fast path tried on the run's own model, GPU and versions: a row's loss and gradients, fused and as peft has them.

Tests show that they are equal, on the machines where tests run. A kernel that a new compiler gets wrong, or a copy of
the adapter that nobody renewed, would train something else and save a sound-looking file; a loss that falls slowly is
all that one would see. So each process tries it once, after its first update: B is no longer zero then, and A has a
gradient.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

import torch

from envdoc.train.errors import ModelError, first_line
from envdoc.train.events import Events
from envdoc.train.fast.copies import SHELF
from envdoc.train.fast.loss import Head, summed_loss
from envdoc.train.fast.plainly import plainly
from envdoc.train.turns import Tokens

TOKENS = 64  # of the row
# Of the size of peft's gradients. bf16 alone makes 0.6% of it (H200, packed rows against single ones); a copy that is
# not renewed makes all of A's.
APART = 0.1
LOSS_APART = 0.02


@dataclass(frozen=True)
class Apart:
    """How far the two are from each other, as a share of peft's: the loss, and the gradients of all A and all B."""

    loss: float
    a: float
    b: float

    @property
    def is_small(self) -> bool:
        """Whether rounding explains it."""
        return self.loss <= LOSS_APART and self.a <= APART and self.b <= APART


def run(model: Any, head: Optional[Head], ids: Sequence[int]) -> Apart:
    """Try it on the first tokens of a row; the model, its gradients and its random numbers stay as they are."""
    device = model.get_input_embeddings().weight.device
    row = torch.tensor([list(ids)[:TOKENS]], device=device)
    batch = {"input_ids": row, "labels": row}
    was_training = model.training
    model.eval()  # no dropout, no checkpointing
    try:
        with torch.enable_grad():
            fused = _gradients(model, summed_loss(model, dict(batch), head))
            with plainly():
                plain = _gradients(model, summed_loss(model, dict(batch)))
    finally:
        model.train(was_training)
    return Apart(*(_share(fused[name], plain[name]) for name in ("loss", "lora_A", "lora_B")))


class Trial:
    """Of one process."""

    def __init__(self) -> None:
        self.taken = False

    def take(self, moved: bool, model: Any, passes: Any, rows: Sequence[Tokens], events: Events) -> None:
        """Try it where the adapter has `moved`, something is fused, and it was not tried before. Raises ModelError."""
        if self.taken or not moved:
            return
        self.taken = True
        if getattr(model, SHELF, None) is None:
            return
        try:
            with passes.autocast():
                found = run(model, passes.head, rows[0].input_ids)
        except (
            Exception
        ) as error:  # a stranger's model that takes no plain row: nothing of ours may stop a run
            events.write("fast_path", problem=first_line(error))
            return
        events.write("fast_path", loss_apart=found.loss, a_apart=found.a, b_apart=found.b)
        judge(found)


def judge(found: Apart) -> None:
    """Raises ModelError where the two are further apart than rounding makes them."""
    if not found.is_small:
        raise ModelError(
            "On this machine the fast path does not compute what peft computes: on one row the loss is "
            f"{100 * found.loss:.1f}% apart (allowed: {100 * LOSS_APART:.0f}%), the gradients of A "
            f"{100 * found.a:.1f}% and of B {100 * found.b:.1f}% (allowed: {100 * APART:.0f}%). Training stopped.",
            "Train with `train.fused=off`, which uses peft's own layers; and please report it with what "
            "`envdoc check --json` prints.",
        )


def _gradients(model: Any, loss: torch.Tensor) -> Dict[str, List[torch.Tensor]]:
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    given = torch.autograd.grad(loss, [weight for _, weight in named], allow_unused=True)
    found: Dict[str, List[torch.Tensor]] = {"loss": [loss.detach()], "lora_A": [], "lora_B": []}
    for (name, weight), gradient in zip(named, given):
        for kind in ("lora_A", "lora_B"):
            if kind in name:
                found[kind].append(torch.zeros_like(weight) if gradient is None else gradient)
    return found


def _share(ones: List[torch.Tensor], others: List[torch.Tensor]) -> float:
    """The size of the difference of two lists of tensors, of that of the second; 0 where that is nothing."""
    apart = sum(float((one - other).float().pow(2).sum()) for one, other in zip(ones, others))
    size = sum(float(other.float().pow(2).sum()) for other in others)
    return (apart / size) ** 0.5 if size else 0.0
