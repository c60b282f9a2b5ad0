"""y += h B^T (+ residual) in one pass over y on a GPU: the low-rank part of a LoRA layer, added where y lies.

y: (tokens, out); h: (tokens, r); B: (out, r); residual: (tokens, out) or None. Also dx += dh A, with A^T for B.
"""

from typing import Optional

import torch

from envdoc.train.fast import kernels
from envdoc.train.fast.kernels import triton

if triton is not None:
    import triton.language as tl


def add_(
    y: torch.Tensor, h: torch.Tensor, b: torch.Tensor, residual: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """y, written over."""
    if not (kernels.usable(y) and y.is_contiguous() and h.stride(1) == 1):
        y.addmm_(h, b.t())
        return y if residual is None else y.add_(residual)
    with kernels.on_device_of(y):
        _add[kernels.grid(y, b.shape[1])](
            y,
            h,
            b,
            y if residual is None else residual.contiguous(),
            y.shape[0],
            y.shape[1],
            b.shape[1],
            h.stride(0),
            b.stride(0),
            b.stride(1),
            HAS_RESIDUAL=residual is not None,
            **kernels.tile(b.shape[1]),
        )
    return y


if triton is not None:

    @triton.jit
    def product(left, right, rows, columns, ranks, tokens, width, r, left_stride, row_step, rank_step):  # type: ignore[no-untyped-def]
        """A tile of left right^T, fp32: left (tokens, r), right (width, r) with the given steps between elements."""
        first = tl.load(
            left + rows[:, None] * left_stride + ranks[None, :],
            mask=(rows[:, None] < tokens) & (ranks[None, :] < r),
            other=0.0,
        )
        second = tl.load(
            right + columns[None, :].to(tl.int64) * row_step + ranks[:, None] * rank_step,
            mask=(columns[None, :] < width) & (ranks[:, None] < r),
            other=0.0,
        )
        return tl.dot(first, second, input_precision="ieee")  # else fp32 would be rounded to TF32

    @triton.jit(do_not_specialize=["tokens"])  # else a line of another length compiles it anew
    def _add(  # type: ignore[no-untyped-def]
        y, h, b, residual, tokens, width, r, h_stride, b_row, b_rank,
        HAS_RESIDUAL: tl.constexpr, RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        places = rows[:, None] * width + columns[None, :]
        inside = (rows[:, None] < tokens) & (columns[None, :] < width)
        whole = tl.load(y + places, mask=inside, other=0.0).to(tl.float32)
        if HAS_RESIDUAL:
            whole += tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)
        whole += product(h, b, rows, columns, tl.arange(0, RANK), tokens, width, r, h_stride, b_row, b_rank)
        tl.store(y + places, whole.to(y.dtype.element_ty), mask=inside)
