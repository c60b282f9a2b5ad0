"""The whole gated MLP with LoRA on its three layers as one step of autograd: down(silu(gate(x)) * up(x)).

What is kept for the backward pass is what cannot be had again cheaply: x, the two products with the frozen weights,
and their activation. The low-rank parts of gate and up are added inside the kernel that reads those products anyway,
and so is that of down on the way back: by the sizes of what is moved, 1.1 GB less in each layer of a 7B
model at 8,192 tokens.
"""

from typing import Any, List, Optional, Tuple

import torch

from envdoc.train.fast import frozen, gated, low_rank, recomputed, rooms, skinny, stack
from envdoc.train.fast.copies import Copies
from envdoc.train.fast.lora import (
    Part,
    add_product,
    back_through,
    dropped,
    fits,
    gradients_of_a,
    rate,
    split,
    whole_stack,
)

LAYERS = ("gate_proj", "up_proj", "down_proj")


class _Gated(torch.autograd.Function):
    """x (..., hidden) -> (..., hidden)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        residual: Any,
        fused: Any,
        dropout: float,
        wanted: bool,
        *parameters: torch.Tensor,
    ) -> Any:
        flat, dtype = x.reshape(-1, x.shape[-1]), x.dtype
        a, bs = fused.rise_copies.fresh(dtype)
        a_down, (b_down,) = fused.fall_copies.fresh(dtype)
        seen, kept = dropped(flat, dropout)
        h = seen @ a.t()
        inner = fused.rise[0].base.out_features
        both = rooms.wide(flat.shape[0], 2 * inner, flat)  # gate, up, and room for the way back
        gate, up = both[:, :inner], both[:, inner : 2 * inner]
        for part, place in zip(fused.rise, (gate, up)):
            torch.mm(flat, frozen.weight_of(part.base, dtype).t(), out=place)
        act = gated.forward(gate, up, *split(h, fused.rise), *bs)
        seen_down, kept_down = dropped(act, dropout)
        h_down = seen_down @ a_down.t()
        if wanted:
            y = torch.nn.functional.linear(act, frozen.weight_of(fused.fall.base, dtype))
            low_rank.add_(y, h_down, b_down, None if residual is None else residual.reshape(y.shape))
        else:
            y = torch.empty_like(flat)
        masks = [] if kept is None else [kept, kept_down]
        ctx.save_for_backward(seen, h, a, *bs, both, seen_down, h_down, a_down, b_down, *masks)
        ctx.fused, ctx.dropout, ctx.shape = fused, dropout, x.shape
        return y.view(x.shape)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        seen, h, a, b_gate, b_up, both, seen_down, h_down, a_down, b_down, *masks = ctx.saved_tensors
        kept, kept_down = masks or (None, None)
        fused, flat, inner = ctx.fused, dy.reshape(-1, dy.shape[-1]), seen_down.shape[1]
        gate, up = both[:, :inner], both[:, inner : 2 * inner]
        fall = whole_stack(fused.fall_copies, flat.dtype) if kept_down is None else None
        whole = rooms.of(dy) if fall is not None else None
        room = rooms.behind(whole, h_down.shape[1])
        dh_down, dbs_down = skinny.both([flat], [b_down], h_down, room, fused.fall.b.dtype)
        das_down = gradients_of_a([fused.fall], seen_down, dh_down)
        missing = None  # of the activation's gradient, what the kernel is to add
        if fall is not None and whole is not None:
            dact = fall.back(whole, 0)
        else:
            dact = back_through([flat], [fused.fall])
            if kept_down is not None:
                add_product(dact, dh_down, a_down, kept_down, ctx.dropout)
            else:
                missing = dh_down
        # The two products are needed no more, and their gradients take their place.
        gated.backward(dact, gate, up, *split(h, fused.rise), b_gate, b_up, missing, a_down)
        del dact
        room = rooms.behind(both, h.shape[1])
        dh, dbs = skinny.both([gate, up], [b_gate, b_up], h, room, fused.rise[0].b.dtype)
        dx = None
        if ctx.needs_input_grad[0]:
            rise = whole_stack(fused.rise_copies, flat.dtype) if kept is None else None
            if rise is not None:
                dx = rise.back(both, 0)
            else:
                dx = back_through([gate, up], fused.rise)
                add_product(dx, dh, a, kept, ctx.dropout)
            dx = dx.view(ctx.shape)
        das = gradients_of_a(fused.rise, seen, dh)
        return (dx, dy if ctx.needs_input_grad[1] else None, *[None] * 3, *das, *das_down, *dbs, *dbs_down)


class GatedMlp:
    """An MLP of gate_proj, up_proj, down_proj and SiLU whose three layers carry LoRA."""

    def __init__(self, module: Any) -> None:
        gate, up, down = (Part(getattr(module, name)) for name in LAYERS)
        self.rise: List[Part] = [gate, up]
        self.fall = down
        self.rise_copies = Copies(self.rise, stack.of(self.rise, (0, 1)))
        self.fall_copies = Copies([down], stack.of([down], (0,)))
        self.plain = module.forward

    @property
    def parts(self) -> Tuple[Part, ...]:
        """gate, up, down."""
        return (*self.rise, self.fall)

    def takes(self, x: torch.Tensor) -> bool:
        """False where an adapter is merged or switched off, or the input is of another dtype."""
        return all(part.is_on for part in self.parts) and fits(x, self.parts)

    def forward(self, x: torch.Tensor, residual: Optional[torch.Tensor] = None) -> torch.Tensor:
        """The MLP's output, with the residual added where there is one (for which `takes` must hold).

        With a residual it is its layer's output, too, and may be left out (recomputed.py).
        """
        if not self.takes(x):
            return self.plain(x)  # type: ignore[no-any-return]
        layer = self.fall.layer
        parameters = [part.a for part in self.parts] + [part.b for part in self.parts]
        dropout = rate(layer) if layer.training else 0.0
        wanted = residual is None or not recomputed.is_output_unwanted()
        result: torch.Tensor = _Gated.apply(x, residual, self, dropout, wanted, *parameters)
        return result


def can_be_fused(module: Any) -> bool:
    """True for three layers without bias and SiLU between them, as in Llama, Mistral and Qwen."""
    activation = getattr(module, "act_fn", None)
    is_silu = (
        type(activation).__name__ in ("SiLU", "SiLUActivation") or type(module).__name__ == "LigerSwiGLUMLP"
    )
    return is_silu and all(getattr(module, name).get_base_layer().bias is None for name in LAYERS)
