"""RMSNorm and the addition before it in one pass over memory, forward and backward.

s = x + residual, n = weight * (s / sqrt(mean(s^2) + eps)), the mean in fp32 as transformers' Llama has it. Backward,
what comes to s from the norm and what comes past it are added in the same pass.
"""

from typing import Any, Optional, Tuple

import torch

from envdoc.train.fast import kernels
from envdoc.train.fast.kernels import triton

if triton is not None:
    import triton.language as tl

WIDEST = 65536  # columns of a row that one program holds


class _AddNorm(torch.autograd.Function):
    """x, residual or None -> s, n, all (..., hidden)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, residual: Optional[torch.Tensor], weight: torch.Tensor, eps: float
    ) -> Any:
        if kernels.usable(x):
            s, n, rstd = _forward_by_kernel(x, residual, weight, eps)
        else:
            s = x if residual is None else x + residual
            rstd = torch.rsqrt(s.float().pow(2).mean(-1, keepdim=True) + eps)
            n = weight * (s.float() * rstd).to(s.dtype)
        ctx.save_for_backward(s, rstd, weight)
        ctx.has_residual = residual is not None
        return (s.view_as(s) if residual is None else s), n

    @staticmethod
    def backward(ctx: Any, ds: torch.Tensor, dn: torch.Tensor) -> Any:
        s, rstd, weight = ctx.saved_tensors
        if kernels.usable(s):
            dx = _backward_by_kernel(ds, dn, s, rstd, weight)
        else:
            m, high = dn.float() * weight.float(), s.float()
            along = (m * high).mean(-1, keepdim=True) * rstd.pow(3)
            dx = (rstd * m - along * high + ds.float()).to(s.dtype)
        return dx, dx if ctx.has_residual else None, None, None


def add_norm(
    x: torch.Tensor, residual: Optional[torch.Tensor], weight: torch.Tensor, eps: float
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The sum (x itself without a residual) and its norm."""
    result: Tuple[torch.Tensor, torch.Tensor] = _AddNorm.apply(x, residual, weight, eps)
    return result


def epsilon_of(norm: Any) -> Optional[float]:
    """The eps of an RMSNorm that computes what this file does, found by trying it; None for any other."""
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    weight = getattr(norm, "weight", None)
    if eps is None or weight is None or weight.dim() != 1 or weight.requires_grad or weight.shape[0] > WIDEST:
        return None
    if list(norm.parameters()) != [weight]:
        return None
    with torch.no_grad():
        x = torch.linspace(-1, 2, 4 * weight.shape[0], device=weight.device, dtype=weight.dtype).view(4, -1)
        kept = weight.data
        try:
            weight.data = torch.linspace(0.5, 1.5, weight.shape[0], device=weight.device).to(weight.dtype)
            wanted, (_, found) = norm(x), add_norm(x, None, weight, float(eps))
        except Exception:  # whatever a stranger's module raises
            return None
        finally:
            weight.data = kept
        same = wanted.shape == found.shape and torch.allclose(
            wanted.float(), found.float(), rtol=0.02, atol=0.02
        )
    return float(eps) if same else None


def _forward_by_kernel(x: Any, residual: Any, weight: Any, eps: float) -> Any:
    flat = x.reshape(-1, x.shape[-1])
    rows, columns = flat.shape
    more = flat if residual is None else residual.reshape(rows, columns)
    s = flat if residual is None else torch.empty_like(flat)
    n, rstd = torch.empty_like(flat), flat.new_empty(rows, dtype=torch.float32)
    with kernels.on_device_of(x):
        _forward[(rows,)](
            flat, more, s, n, rstd, weight, columns, eps, HAS_RESIDUAL=residual is not None, **_block(columns)
        )
    return s.view(x.shape), n.view(x.shape), rstd


def _backward_by_kernel(ds: Any, dn: Any, s: Any, rstd: Any, weight: Any) -> Any:
    columns = s.shape[-1]
    dx = torch.empty_like(s)
    with kernels.on_device_of(s):
        _backward[(rstd.numel(),)](
            ds.contiguous(), dn.contiguous(), s, rstd, weight, dx, columns, **_block(columns)
        )
    return dx


def _block(columns: int) -> Any:
    block = triton.next_power_of_2(columns)
    return {"BLOCK": block, "num_warps": max(1, min(16, block // 512))}


if triton is not None:

    @triton.jit
    def _forward(  # type: ignore[no-untyped-def]
        x, residual, s, n, rstd, weight, columns, eps, HAS_RESIDUAL: tl.constexpr, BLOCK: tl.constexpr
    ):
        row = tl.program_id(0).to(tl.int64)
        places = tl.arange(0, BLOCK)
        inside = places < columns
        kept = tl.load(x + row * columns + places, mask=inside, other=0.0)
        if HAS_RESIDUAL:
            more = tl.load(residual + row * columns + places, mask=inside, other=0.0)
            kept = (kept.to(tl.float32) + more.to(tl.float32)).to(s.dtype.element_ty)
            tl.store(s + row * columns + places, kept, mask=inside)
        high = kept.to(tl.float32)
        scale = tl.rsqrt(tl.sum(high * high, axis=0) / columns + eps)
        tl.store(rstd + row, scale)
        by = tl.load(weight + places, mask=inside, other=0.0)
        low = (high * scale).to(n.dtype.element_ty)
        tl.store(n + row * columns + places, (low * by).to(n.dtype.element_ty), mask=inside)

    @triton.jit
    def _backward(ds, dn, s, rstd, weight, dx, columns, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        row = tl.program_id(0).to(tl.int64)
        places = tl.arange(0, BLOCK)
        inside = places < columns
        high = tl.load(s + row * columns + places, mask=inside, other=0.0).to(tl.float32)
        by = tl.load(weight + places, mask=inside, other=0.0).to(tl.float32)
        m = tl.load(dn + row * columns + places, mask=inside, other=0.0).to(tl.float32) * by
        past = tl.load(ds + row * columns + places, mask=inside, other=0.0).to(tl.float32)
        scale = tl.load(rstd + row)
        along = tl.sum(m * high, axis=0) / columns * scale * scale * scale
        tl.store(
            dx + row * columns + places,
            (scale * m - along * high + past).to(dx.dtype.element_ty),
            mask=inside,
        )
