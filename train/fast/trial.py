"""The fast path tried on the run's own model, GPU and versions: a row's loss and gradients, fused and as peft has them.

Tests show that they are equal, on the machines where tests run. A kernel that a new compiler gets wrong, or a copy of
the adapter that nobody renewed, would train something else and save a sound-looking file; a loss that falls slowly is
all that one would see. So each process tries it once, after its first update: B is no longer zero then, and A has a
gradient.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import torch

from envdoc.train.errors import ModelError, first_line
from envdoc.train.events import Events
from envdoc.train.fast.copies import SHELF
from envdoc.train.fast.loss import Head, summed_loss
from envdoc.train.fast.plainly import plainly
from envdoc.train.turns import Tokens

TOKENS = 64  # of the row
# Of the size of peft's gradients: of all together, and of each kind of layer by itself. Rounding to bf16 makes 9 to 13%
# over the 32 layers of a 7B of random weights, in every kind alike, and peft's own are as far from those in fp32 (8 to
# 12%; the fused ones 7 to 10%: H200, 16 to 200 tokens, 2026-11-30); 34% over 80 layers, 29% in LLM.int8.
APART = 0.6
KIND_APART = 0.8
# Rounding has no direction: of what peft's gradients are, the fused ones then hold 0.94 even where they are 34% apart.
# A wrong factor, or a part of a product left out, shows here; of a copy that is not renewed A's hold nothing.
ALONG = (0.75, 1.25)
# A step of random weights can make a row so steep that rounding moves its loss by 3.5%, with gradients 4 and 12% apart
# (the same 7B, updates of 1,024 tokens, 2026-12-01); elsewhere it was 0.1%.
LOSS_APART = 0.1
# A model whose numbers are out of hand (a learning rate of 9) makes something else of every rounding, and then nothing
# can be told from them: so far is peft's own gradient from itself after the adapter's weights moved by 1 in 256.
SHAKEN = 2.0**-8


@dataclass(frozen=True)
class Apart:
    """How far the two are from each other, as a share of peft's: the loss, and the gradients of all A and all B.

    `along_a` and `along_b` are what the fused gradients hold of peft's: 1 where they are equal. `kinds` has the
    distances by the names of layers (`q_proj.lora_A`).
    """

    loss: float
    a: float
    b: float
    along_a: float
    along_b: float
    kinds: Dict[str, float]
    shaken: float = 0.0  # peft's gradients from themselves, the adapter's weights shaken; where it is asked

    @property
    def worst(self) -> Tuple[str, float]:
        """The kind that is furthest apart."""
        return max(self.kinds.items(), key=lambda kind: kind[1])

    @property
    def is_small(self) -> bool:
        """Whether rounding explains it."""
        near = self.loss <= LOSS_APART and max(self.a, self.b) <= APART and self.worst[1] <= KIND_APART
        return near and all(ALONG[0] <= along <= ALONG[1] for along in (self.along_a, self.along_b))

    @property
    def is_told(self) -> bool:
        """Whether a fault would show: not where peft's own gradients are as far from themselves."""
        return self.shaken <= APART / 2


def run(model: Any, head: Optional[Head], ids: Sequence[int]) -> Apart:
    """Try it on the first tokens of a row; the model, its gradients and its random numbers stay as they are."""
    device = model.get_input_embeddings().weight.device
    row = torch.tensor([list(ids)[:TOKENS]], device=device)
    batch = {"input_ids": row, "labels": row}
    was_training = model.training
    model.eval()  # no dropout, no checkpointing
    try:
        with torch.enable_grad():
            loss, fused = _gradients(model, summed_loss(model, dict(batch), head))
            with plainly():
                plain_loss, plain = _gradients(model, summed_loss(model, dict(batch)))
        apart = Apart(
            _share([loss], [plain_loss]),
            *(_of(kind, fused, plain, how) for how in (_share, _along) for kind in ("lora_A", "lora_B")),
            {kind: _of(kind, fused, plain, _share) for kind in sorted(set(map(_kind, plain)))},
        )
        if not apart.is_small:
            with torch.enable_grad(), plainly(), _shaken(model):
                _, moved = _gradients(model, summed_loss(model, dict(batch)))
            names = list(plain)
            shaken = _share([moved[name] for name in names], [plain[name] for name in names])
            apart = replace(apart, shaken=shaken)
        return apart
    finally:
        model.train(was_training)


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
        kind, share = found.worst
        events.write(
            "fast_path",
            loss_apart=found.loss,
            a_apart=found.a,
            b_apart=found.b,
            worst=kind,
            worst_apart=share,
            shaken=found.shaken,
        )
        judge(found)


def judge(found: Apart) -> None:
    """Raises ModelError where the two are further apart than rounding makes them, and the model bears the question."""
    if not found.is_small and found.is_told:
        kind, share = found.worst
        raise ModelError(
            "On this machine the fast path does not compute what peft computes: on one row the loss is "
            f"{100 * found.loss:.1f}% apart (allowed: {100 * LOSS_APART:.0f}%), the gradients of A "
            f"{100 * found.a:.1f}% and of B {100 * found.b:.1f}% (allowed: {100 * APART:.0f}%), those of `{kind}` "
            f"{100 * share:.1f}% (allowed: {100 * KIND_APART:.0f}%); of peft's own they hold {found.along_a:.2f} and "
            f"{found.along_b:.2f} (allowed: {ALONG[0]} to {ALONG[1]}). Training stopped.",
            "Train with `train.fused=off`, which uses peft's own layers; and please report it with what "
            "`envdoc check --json` prints.",
        )


def _gradients(model: Any, loss: torch.Tensor) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
    """The loss, and the gradient of each of the adapter's weights by name."""
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    given = torch.autograd.grad(loss, [weight for _, weight in named], allow_unused=True)
    return loss.detach(), {
        name: torch.zeros_like(weight) if gradient is None else gradient
        for (name, weight), gradient in zip(named, given)
        if "lora_" in name
    }


@contextmanager
def _shaken(model: Any) -> Iterator[None]:
    """Within it each number of the adapter is 1 in 256 larger or smaller, by turns of three; afterwards as before."""
    weights = [
        weight for name, weight in model.named_parameters() if weight.requires_grad and "lora_" in name
    ]
    before = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight in weights:
                turns = torch.arange(weight.numel(), device=weight.device).reshape(weight.shape) % 3
                weight.mul_(1 + SHAKEN * (turns - 1).to(weight.dtype))
        yield
    finally:
        with torch.no_grad():
            for weight, was in zip(weights, before):
                weight.copy_(was)


def _kind(name: str) -> str:
    """`q_proj.lora_A` of `base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight`."""
    layer, _, kind = name.partition(".lora_")
    return f"{layer.rpartition('.')[2]}.lora_{kind[:1]}"


def _of(kind: str, ones: Dict[str, torch.Tensor], others: Dict[str, torch.Tensor], how: Any) -> float:
    """How those gradients compare whose kind ends so."""
    names = [name for name in others if _kind(name).endswith(kind)]
    compared: float = how([ones[name] for name in names], [others[name] for name in names])
    return compared


def _share(ones: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    """The size of the difference of two lists of tensors, of that of the second; 0 where that is nothing."""
    apart = sum(float((one - other).float().pow(2).sum()) for one, other in zip(ones, others))
    size = sum(float(other.float().pow(2).sum()) for other in others)
    return (apart / size) ** 0.5 if size else 0.0


def _along(ones: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    """How much of the second the first holds: their product by the second's square; 1 where that is nothing."""
    both = sum(float((one * other).float().sum()) for one, other in zip(ones, others))
    size = sum(float(other.float().pow(2).sum()) for other in others)
    return both / size if size else 1.0
