"""LoRA layers that share an input, computed together: y_i = x W_i^T + b_i + s_i (drop(x) A_i^T) B_i^T.

peft computes each layer by itself, in some ten passes over memory besides the product with W. For q, k and v, or gate
and up, x is read once for all their A; the product with B is added where y already lies; and backward, x gets all that
comes to it in one place. On an H200 with a 7B shape, packed bf16, r = 8: a probe with peft's layers
took 16,359 tokens/s, a prototype of these 18,864 (on two days and machines, 2026-11-23 and -30).

The adapter's parameters stay fp32 and stay where peft has them, so that saving, checkpoints and the optimizer know
nothing of this; 16-bit copies are made when a parameter has changed (copies.py). Dropout is drawn once for a group.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

from envdoc.train.fast import frozen, low_rank, rooms, skinny, stack
from envdoc.train.fast.copies import Copies
from envdoc.train.fast.plainly import is_wanted
from envdoc.train.fast.stack import Stack

ADAPTER = "default"


class Part:
    """One LoRA layer of peft's: its frozen layer, its matrices, its scale."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.base = layer, layer.get_base_layer()
        self.a, self.b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        self.scale = float(layer.scaling[ADAPTER])

    @property
    def is_on(self) -> bool:
        """True while the layer computes base and adapter apart: neither merged nor switched off."""
        return not self.layer.disable_adapters and not self.layer.merged


class _Together(torch.autograd.Function):
    """x (..., in) -> for each part (..., out). The parameters are handed over so that autograd knows them."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, parts: Any, copies: Any, dropout: float, *parameters: torch.Tensor
    ) -> Any:
        flat = x.reshape(-1, x.shape[-1])
        a, bs = copies.fresh(flat.dtype)
        seen, kept = dropped(flat, dropout)
        stacked = whole_stack(copies, flat.dtype)
        # With dropout what is kept is another matrix, and h would keep x beside it.
        beside = stacked is not None and stacked.is_beside and kept is None
        whole = rooms.of(x) if beside else None
        biases = [frozen.bias_of(part.base, flat.dtype) for part in parts]
        if whole is not None:
            h, ys = stacked.forward(whole, a, biases)
        else:
            h = seen @ a.t()
            weights = (frozen.weight_of(part.base, flat.dtype) for part in parts)
            ys = [
                low_rank.add_(torch.nn.functional.linear(flat, weight, bias), own, b)
                for weight, bias, own, b in zip(weights, biases, split(h, parts), bs)
            ]
        ctx.save_for_backward(seen, h, a, *bs, *([] if kept is None else [kept]))
        ctx.parts, ctx.stack, ctx.dropout, ctx.shape = parts, stacked, dropout, x.shape
        return tuple(y.view(*x.shape[:-1], -1) for y in ys)

    @staticmethod
    def backward(ctx: Any, *dys: torch.Tensor) -> Any:
        seen, h, a, *rest = ctx.saved_tensors
        parts, bs = ctx.parts, rest[: len(ctx.parts)]
        kept = rest[len(parts)] if len(rest) > len(parts) else None
        flat = [dy.reshape(-1, dy.shape[-1]) for dy in dys]
        whole = rooms.of(dys[0]) if ctx.stack is not None and kept is None else None
        dh, dbs = skinny.both(flat, bs, h, rooms.behind(whole, h.shape[1]), parts[0].b.dtype)
        dx = None
        if ctx.needs_input_grad[0]:
            if whole is not None:
                others = back_through(flat[1:], parts[1:]) if parts[1:] else None
                dx = ctx.stack.back(whole, 0, others)
            else:
                dx = back_through(flat, parts)
                add_product(dx, dh, a, kept, ctx.dropout)
            dx = dx.view(ctx.shape)
        return (dx, None, None, None, *gradients_of_a(parts, seen, dh), *dbs)


class Group:
    """Layers that get the same input. Whichever is called first computes all; the others take what lies ready."""

    def __init__(self, layers: Sequence[Any], beside: bool = False) -> None:
        self.parts = [Part(layer) for layer in layers]
        # The first comes last: its gradient is q's, which comes with room behind it (rotary.py).
        order = [*range(1, len(layers)), 0]
        self.copies = Copies(self.parts, stack.of(self.parts, order, beside))
        self.plain = [layer.forward for layer in layers]
        self.seen: Any = None
        self.ready: Dict[int, torch.Tensor] = {}

    def forward(self, place: int, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The output of the layer at `place`; peft's own way where it is merged, switched off or asked for more."""
        if args or kwargs or not all(part.is_on for part in self.parts) or not fits(x, self.parts):
            return self.plain[place](x, *args, **kwargs)
        if self.seen is not x or place not in self.ready:
            layer = self.parts[0].layer
            dropout = rate(layer) if layer.training else 0.0
            ys = together(x, self.parts, self.copies, dropout)
            self.seen, self.ready = x, dict(enumerate(ys))
        y = self.ready.pop(place)
        if not self.ready:
            self.seen = None  # holds nothing longer than it is wanted
        return y


def together(
    x: torch.Tensor, parts: Sequence[Part], copies: Copies, dropout: float
) -> Tuple[torch.Tensor, ...]:
    """Each part's output for x."""
    parameters = [part.a for part in parts] + [part.b for part in parts]
    result: Tuple[torch.Tensor, ...] = _Together.apply(x, list(parts), copies, dropout, *parameters)
    return result


def fits(x: torch.Tensor, parts: Sequence[Part]) -> bool:
    """True for an input whose dtype is that of the base's 16-bit weights, outside autocast, which has its own rules.

    False while everything is computed plainly.
    """
    if is_wanted():
        return False
    weight = parts[0].base.weight
    wanted = weight.dtype if weight.is_floating_point() else parts[0].base.weight.quant_state.dtype
    return x.dtype == wanted and not torch.is_autocast_enabled()


def rate(layer: Any) -> float:
    """The dropout of a LoRA layer."""
    return float(getattr(layer.lora_dropout[ADAPTER], "p", 0.0))


def dropped(x: torch.Tensor, dropout: float) -> Tuple[torch.Tensor, Any]:
    """x after dropout, and which of it was kept; x itself and None without dropout."""
    if not dropout:
        return x, None
    seen, kept = torch.native_dropout(x, dropout, True)
    return seen, kept


def split(h: torch.Tensor, parts: Sequence[Part]) -> Tuple[torch.Tensor, ...]:
    """The columns of each part."""
    return tuple(h.split([part.a.shape[0] for part in parts], dim=1))


def whole_stack(copies: Copies, dtype: torch.dtype) -> Optional[Stack]:
    """The stack of these layers, where it can be used now."""
    return copies.stack if copies.stack is not None and copies.stack.is_whole(dtype) else None


def back_through(dys: Sequence[torch.Tensor], parts: Sequence[Part]) -> torch.Tensor:
    """What the frozen weights give back to their common input."""
    dx = dys[0] @ frozen.weight_of(parts[0].base, dys[0].dtype)
    for dy, part in zip(dys[1:], parts[1:]):
        dx.addmm_(dy, frozen.weight_of(part.base, dy.dtype))
    return dx


def add_product(dx: torch.Tensor, dh: torch.Tensor, a: torch.Tensor, kept: Any, dropout: float) -> None:
    """dx += drop'(dh A)."""
    if kept is None:
        low_rank.add_(dx, dh, a.t())
    else:
        dx.add_(torch.ops.aten.native_dropout_backward(dh @ a, kept, 1 / (1 - dropout)))


def gradients_of_a(parts: Sequence[Part], seen: torch.Tensor, dh: torch.Tensor) -> List[torch.Tensor]:
    """Each A's (r, in), in the parameters' dtype."""
    das = list(skinny.product(dh.t(), seen, parts[0].a.dtype).split([part.a.shape[0] for part in parts]))
    for da, part in zip(das, parts):
        da.mul_(part.scale)
    return das
