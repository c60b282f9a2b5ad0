"""silu(gate + hg Bg^T) * (up + hu Bu^T) and its way back, each in one pass over memory on a GPU.

gate, up: (tokens, inner) products with the frozen weights, two parts of one wider matrix; hg, hu: (tokens, r); Bg, Bu:
(inner, r), already scaled. The low-rank parts are made a tile at a time where gate and up lie in registers. Without
Triton: the same in torch.
"""

from typing import Optional, Tuple

import torch

from envdoc.train.fast import kernels
from envdoc.train.fast.kernels import triton

if triton is not None:
    import triton.language as tl

    from envdoc.train.fast.low_rank import product


def forward(
    gate: torch.Tensor,
    up: torch.Tensor,
    hg: torch.Tensor,
    hu: torch.Tensor,
    bg: torch.Tensor,
    bu: torch.Tensor,
) -> torch.Tensor:
    """The activation, (tokens, inner)."""
    if not kernels.usable(gate):
        whole_gate, whole_up = gate + hg @ bg.t(), up + hu @ bu.t()
        return torch.nn.functional.silu(whole_gate) * whole_up
    act = gate.new_empty(gate.shape)
    with kernels.on_device_of(gate):
        _forward[kernels.grid(gate, bg.shape[1])](
            gate, up, hg, hu, bg, bu, act, *_sizes(gate, hg, bg), **kernels.tile(bg.shape[1])
        )
    return act


def backward(
    dact: torch.Tensor,
    gate: torch.Tensor,
    up: torch.Tensor,
    hg: torch.Tensor,
    hu: torch.Tensor,
    bg: torch.Tensor,
    bu: torch.Tensor,
    dh: Optional[torch.Tensor],
    a: torch.Tensor,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The gradients of gate and up, written over gate and up; `dact` still lacks dh A, where there is a `dh`."""
    if not kernels.usable(gate):
        if dh is not None:
            dact = dact + dh @ a
        whole_gate, whole_up = gate + hg @ bg.t(), up + hu @ bu.t()
        sigmoid = torch.sigmoid(whole_gate)
        silu = whole_gate * sigmoid
        dup = dact * silu
        dgate = dact * whole_up * (silu * (1 - sigmoid) + sigmoid)
        return gate.copy_(dgate), up.copy_(dup)
    with kernels.on_device_of(gate):
        _backward[kernels.grid(gate, bg.shape[1])](
            dact, gate, up, hg, hu, bg, bu, dh if dh is not None else dact, a,
            *_sizes(gate, hg, bg), dh.stride(0) if dh is not None else 0, HAS_DH=dh is not None,
            **kernels.tile(bg.shape[1]),
        )  # fmt: skip
    return gate, up


def _sizes(gate: torch.Tensor, h: torch.Tensor, b: torch.Tensor) -> Tuple[int, ...]:
    return (
        gate.shape[0],
        gate.shape[1],
        b.shape[1],
        gate.stride(0),
        h.stride(0),
        b.stride(0),
        b.stride(1),
    )


if triton is not None:

    @triton.jit(do_not_specialize=["tokens"])  # else a line of another length compiles it anew
    def _forward(  # type: ignore[no-untyped-def]
        gate, up, hg, hu, bg, bu, act, tokens, inner, r, stride, h_stride, b_row, b_rank,
        RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        ranks = tl.arange(0, RANK)
        places = rows[:, None] * stride + columns[None, :]
        dense = rows[:, None] * inner + columns[None, :]
        inside = (rows[:, None] < tokens) & (columns[None, :] < inner)
        g = tl.load(gate + places, mask=inside, other=0.0).to(tl.float32)
        u = tl.load(up + places, mask=inside, other=0.0).to(tl.float32)
        g += product(hg, bg, rows, columns, ranks, tokens, inner, r, h_stride, b_row, b_rank)
        u += product(hu, bu, rows, columns, ranks, tokens, inner, r, h_stride, b_row, b_rank)
        y = g * tl.sigmoid(g) * u
        tl.store(act + dense, y.to(act.dtype.element_ty), mask=inside)

    @triton.jit(do_not_specialize=["tokens"])  # else a line of another length compiles it anew
    def _backward(  # type: ignore[no-untyped-def]
        dact, gate, up, hg, hu, bg, bu, dh, a, tokens, inner, r, stride, h_stride, b_row, b_rank, dh_stride,
        HAS_DH: tl.constexpr, RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        ranks = tl.arange(0, RANK)
        places = rows[:, None] * stride + columns[None, :]
        dense = rows[:, None] * inner + columns[None, :]
        inside = (rows[:, None] < tokens) & (columns[None, :] < inner)
        d = tl.load(dact + dense, mask=inside, other=0.0).to(tl.float32)
        if HAS_DH:
            d += product(dh, a, rows, columns, ranks, tokens, inner, r, dh_stride, 1, inner)
        g = tl.load(gate + places, mask=inside, other=0.0).to(tl.float32)
        u = tl.load(up + places, mask=inside, other=0.0).to(tl.float32)
        g += product(hg, bg, rows, columns, ranks, tokens, inner, r, h_stride, b_row, b_rank)
        u += product(hu, bu, rows, columns, ranks, tokens, inner, r, h_stride, b_row, b_rank)
        sigmoid = tl.sigmoid(g)
        silu = g * sigmoid
        tl.store(up + places, (d * silu).to(up.dtype.element_ty), mask=inside)
        dg = d * u * (silu * (1 - sigmoid) + sigmoid)
        tl.store(gate + places, dg.to(gate.dtype.element_ty), mask=inside)
