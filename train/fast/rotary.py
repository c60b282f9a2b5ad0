"""Rotary positions for q and k in one pass over memory each, in place of the five passes that transformers makes.

transformers' models call `apply_rotary_pos_emb` of their own module; it is replaced there for as long as a model is
fused, and only where a trial shows that it computes what this file does: the two halves of a head turned against each
other, as in Llama, Mistral, Qwen, Gemma. Models that turn neighbours or a part of a head keep their own.
"""

import sys
from typing import Any, Dict, Tuple

import torch

from envdoc.train.fast import kernels, rooms
from envdoc.train.fast.kernels import triton
from envdoc.train.fast.plainly import is_wanted

if triton is not None:
    import triton.language as tl

NAME = "apply_rotary_pos_emb"
_replaced: Dict[str, Any] = {}  # the module's name -> its own function


class _Rotated(torch.autograd.Function):
    """x (batch, heads, length, width), cos and sin (batch, length, width) -> x turned."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, back=False)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        return _turn(dy, *ctx.saved_tensors, back=True), None, None


def replace(model: Any) -> None:
    """Turn q and k in one pass wherever the model's code and device allow it."""
    for name in sorted({type(module).__module__ for module in model.modules() if hasattr(module, "q_proj")}):
        own = getattr(sys.modules.get(name), NAME, None)
        device = next(model.parameters()).device
        if own is not None and name not in _replaced and _does_the_same(own, device):
            _replaced[name] = own
            setattr(sys.modules[name], NAME, _instead_of(own))


def restore() -> None:
    """Every module's own function."""
    while _replaced:
        name, own = _replaced.popitem()
        setattr(sys.modules[name], NAME, own)


def _instead_of(own: Any) -> Any:
    def apply(
        q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        if args or kwargs or is_wanted() or not _fits(q, k, cos):
            return own(q, k, cos, sin, *args, **kwargs)  # type: ignore[no-any-return]
        return _Rotated.apply(q, cos, sin), _Rotated.apply(k, cos, sin)

    return apply


def _fits(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor) -> bool:
    return bool(
        kernels.usable(q) and q.dim() == 4 and cos.dim() == 3 and q.dtype == k.dtype == cos.dtype
        and cos.shape[0] in (1, q.shape[0]) and q.shape[2:] == k.shape[2:] == cos.shape[1:]
        and q.stride(3) == k.stride(3) == 1
    )  # fmt: skip


def _does_the_same(own: Any, device: torch.device) -> bool:
    generator = torch.Generator().manual_seed(0)
    if not kernels.usable(torch.empty(0, device=device)):
        return False
    q, k = (torch.randn(2, heads, 5, 16, generator=generator).to(device) for heads in (4, 2))
    cos, sin = (torch.randn(2, 5, 16, generator=generator).to(device) for _ in range(2))
    try:
        wanted = own(q, k, cos, sin)
    except Exception:  # whatever a stranger's function raises
        return False
    found = _turn(q, cos, sin, back=False), _turn(k, cos, sin, back=False)
    return all(
        one.shape == other.shape and torch.allclose(one, other, atol=1e-5)
        for one, other in zip(wanted, found)
    )


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, back: bool) -> torch.Tensor:
    batch, heads, length, width = x.shape
    # As the attention's kernels want to read it; on the way back with room for what is added to it (rooms.py).
    flat = x.new_empty(batch, length, heads * width)
    y = (rooms.leave(flat) if back else flat).view(batch, length, heads, width).transpose(1, 2)
    cos, sin = cos.contiguous(), sin.contiguous()
    with kernels.on_device_of(x):
        _turn_kernel[(batch * length,)](
            x, y, cos, sin, length, heads, x.stride(0), x.stride(1), x.stride(2), y.stride(0), y.stride(1), y.stride(2),
            0 if cos.shape[0] == 1 else length * width,
            HALF=width // 2, WIDTH=triton.next_power_of_2(width // 2), HEADS=triton.next_power_of_2(heads), BACK=back,
        )  # fmt: skip
    return y


if triton is not None:

    @triton.jit(do_not_specialize=["length", "angle_batch"])  # else a line of another length compiles it anew
    def _turn_kernel(  # type: ignore[no-untyped-def]
        x, y, cos, sin, length, heads, x_batch, x_head, x_place, y_batch, y_head, y_place, angle_batch,
        HALF: tl.constexpr, WIDTH: tl.constexpr, HEADS: tl.constexpr, BACK: tl.constexpr,
    ):  # fmt: skip
        batch = tl.program_id(0).to(tl.int64) // length
        place = tl.program_id(0).to(tl.int64) % length
        head = tl.arange(0, HEADS)[:, None]
        half = tl.arange(0, WIDTH)[None, :]
        inside = (head < heads) & (half < HALF)
        angles = batch * angle_batch + place * 2 * HALF + half
        cos_first = tl.load(cos + angles, mask=half < HALF, other=0.0).to(tl.float32)
        cos_second = tl.load(cos + angles + HALF, mask=half < HALF, other=0.0).to(tl.float32)
        sin_first = tl.load(sin + angles, mask=half < HALF, other=0.0).to(tl.float32)
        sin_second = tl.load(sin + angles + HALF, mask=half < HALF, other=0.0).to(tl.float32)
        at = x + batch * x_batch + place * x_place + head * x_head + half
        first = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        second = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
        if BACK:
            one = first * cos_first + second * sin_second
            other = second * cos_second - first * sin_first
        else:
            one = first * cos_first - second * sin_first
            other = second * cos_second + first * sin_second
        to = y + batch * y_batch + place * y_place + head * y_head + half
        tl.store(to, one.to(y.dtype.element_ty), mask=inside)
        tl.store(to + HALF, other.to(y.dtype.element_ty), mask=inside)
