"""dh = dy B and dB = dy^T h of LoRA's way back from one reading of dy, for all layers with one input together.

dy: (tokens, out); B: (out, r); h, dh: (tokens, r). By cuBLAS each product reads all of dy, and the seven layers of a 7B
at 8,192 tokens, bf16, take 0.417 ms on an H200; by this kernel 0.221 ms (r = 8; at r = 16 0.415 and 0.238; 2026-11-30,
torch 2.11). The same idea gained nothing for x A^T and dh^T x, which read x once as it is.

A program holds a block of columns and walks down a strip of rows: its part of dB adds up in registers, and what its
columns give to dh is written for each block by itself, to be added up after. Sums have one order and there are no
atomics: the same numbers come out each time.
"""

import functools
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from envdoc.train.fast import kernels
from envdoc.train.fast.kernels import triton

if triton is not None:
    import triton.language as tl

WIDE_RESULT = "out_dtype" in (torch.mm.__doc__ or "")
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
PARTS = 3  # layers of one input: q, k, v
RANK_BYTES = 32  # of a row of h: ranks up to 16 were timed
ROWS, WARPS = 64, 8
ROW_BYTES, STAGES = 1024, 3  # of a tile, and how many tiles are held at once: the fastest of ten on an H200
BLOCK, CHUNK = 256, 16  # numbers that a program of the second kernel makes, and parts that it reads at once


def both(
    dys: Sequence[torch.Tensor],
    bs: Sequence[torch.Tensor],
    h: torch.Tensor,
    out: Optional[torch.Tensor],
    dtype: torch.dtype,
) -> Tuple[torch.Tensor, List[torch.Tensor]]:
    """dh (tokens, sum of r), each dy B beside the other, in `out` where it is given; and each dB (out, r) in `dtype`.

    `h` has the columns of all layers, too. While it runs it takes r / 256 of dy's memory with the widest tiles in 16
    bits. By torch's products where the kernels cannot run, for more than three layers, for ranks that differ or are
    large, and for matrices that lie otherwise than they do here.
    """
    plan = _plan_of(dys, bs, h, out) if kernels.usable(h) else None
    if plan is None:
        return _by_torch(dys, bs, h, out, dtype)
    if out is None:
        out = torch.empty_like(h, memory_format=torch.contiguous_format)
    scratch = torch.empty(plan.scratch, device=h.device, dtype=torch.float32)
    db = torch.empty(plan.db, device=h.device, dtype=dtype)
    tokens, h_stride = h.shape[0], h.stride(0)
    step, to = _step(h_stride), out

    def start() -> None:
        with kernels.on_device_of(h):
            _both[plan.grid](
                *_three(dys), *_three(bs), h, scratch, tokens, *_three([dy.stride(0) for dy in dys]),
                *plan.three_widths, h_stride // step, H_STEP=step, **plan.options,
            )  # fmt: skip
            _add_up[plan.sums_grid](scratch, to, db, tokens, *plan.sums, to.stride(0), **plan.sums_options)

    if not kernels.started("LoRA's way back", start):
        return _by_torch(dys, bs, h, out, dtype)
    return out, list(db.split(plan.widths))


def product(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """left right, added up in fp32 and, where torch can (2.8, CUDA), never rounded to 16 bits on the way."""
    if left.dtype != dtype and left.is_cuda and WIDE_RESULT:
        return torch.mm(left, right, out_dtype=dtype)
    return (left @ right).to(dtype)


def _by_torch(
    dys: Sequence[torch.Tensor],
    bs: Sequence[torch.Tensor],
    h: torch.Tensor,
    out: Optional[torch.Tensor],
    dtype: torch.dtype,
) -> Tuple[torch.Tensor, List[torch.Tensor]]:
    ranks = [b.shape[1] for b in bs]
    if out is None:
        out = torch.cat([dy @ b for dy, b in zip(dys, bs)], dim=1)
    else:
        for dy, b, place in zip(dys, bs, out.split(ranks, dim=1)):
            torch.mm(dy, b, out=place)
    return out, [product(dy.t(), own, dtype) for dy, own in zip(dys, h.split(ranks, dim=1))]


class _Plan(NamedTuple):
    """All that the two kernels are told and that depends on sizes only."""

    widths: Tuple[int, ...]
    three_widths: Sequence[int]
    scratch: int  # numbers: each block's dh, each strip's dB
    db: Tuple[int, int]
    grid: Tuple[int, int]
    options: Dict[str, int]
    sums: Tuple[int, ...]  # columns, strips, the ends of three parts in blocks
    sums_grid: Tuple[int]
    sums_options: Dict[str, int]


def _plan_of(
    dys: Sequence[torch.Tensor], bs: Sequence[torch.Tensor], h: torch.Tensor, out: Optional[torch.Tensor]
) -> Optional[_Plan]:
    """None for what the kernels do not take."""
    tokens, ranks = h.shape
    r, dtype = bs[0].shape[1], h.dtype
    fits = (
        dtype in DTYPES
        and len(dys) <= PARTS
        and r * h.element_size() <= RANK_BYTES
        and r * len(dys) == ranks
        and h.stride(1) == 1
        and (out is None or out.stride(1) == 1)
        and all(dy.stride(1) == 1 and dy.dtype == dtype for dy in dys)
        and all(b.shape[1] == r and b.stride() == (1, b.shape[0]) for b in bs)  # as copies.py lays them
    )
    if not fits:
        return None
    return _plan(tuple([dy.shape[1] for dy in dys]), tokens, r, h.element_size(), h.get_device())


@functools.lru_cache(maxsize=1024)
def _plan(widths: Tuple[int, ...], tokens: int, r: int, size: int, device: int) -> Optional[_Plan]:
    """None on a GPU of another kind than the one that was measured."""
    at_once = _at_once(device)
    if not at_once:
        return None
    filled, columns = max(kernels.SMALLEST, triton.next_power_of_2(r)), ROW_BYTES // size
    ends: List[int] = []
    for width in widths:
        ends.append((ends[-1] if ends else 0) + triton.cdiv(width, columns))
    whole, parts, blocks = sum(widths), len(widths), ends[-1]
    strips = _strips(blocks, triton.cdiv(tokens, ROWS), at_once)
    sums_programs = parts * triton.cdiv(tokens * r, BLOCK) + triton.cdiv(whole * r, BLOCK)
    tile = {"ROWS": ROWS, "COLUMNS": columns, "num_warps": WARPS, "num_stages": STAGES}
    return _Plan(
        widths=widths,
        three_widths=_three(widths),
        scratch=(blocks * tokens + strips * whole) * r,
        db=(whole, r),
        grid=(blocks, strips),
        options={"R": r, "RANK": filled, "PARTS": parts, **tile},
        sums=(whole, strips, *ends, *[blocks] * (PARTS - parts)),
        sums_grid=(sums_programs,),
        sums_options={"R": r, "PARTS": parts, "BLOCK": BLOCK, "CHUNK": CHUNK, "num_warps": 4},
    )


@functools.lru_cache(maxsize=None)
def _at_once(device: int) -> int:
    """How many programs the GPU runs at once; 0 where they are not to run."""
    if device < 0:
        return 6  # Triton's interpreter: with few programs a strip has several tiles
    # On other kinds Triton compiles it without copies that run ahead, and nobody has timed that.
    if not kernels.is_measured(torch.device("cuda", device)):
        return 0
    return torch.cuda.get_device_properties(device).multi_processor_count


def _strips(blocks: int, tiles: int, at_once: int) -> int:
    """The fewest strips with which the GPU is busy to nearly its end, in four waves at most; else the best of those."""
    best, busiest = 1, 0.0
    for strips in range(1, max(1, min(tiles, 4 * at_once // blocks)) + 1):
        waves = triton.cdiv(blocks * strips, at_once)
        busy = blocks * strips / (waves * at_once)
        if busy > busiest + 0.01:
            best, busiest = strips, busy
        if busiest > 0.94:
            break
    return best


def _three(given: Sequence[Any]) -> Sequence[Any]:
    return [*given, *[given[0]] * (PARTS - len(given))]


def _step(stride: int) -> int:
    """A power of two that divides a stride: by it the compiler knows that it may read several numbers at once."""
    return min(16, stride & -stride) or 16


if triton is not None:

    @triton.jit(do_not_specialize=["tokens", "h_steps"])  # else a line of another length compiles it anew
    def _both(  # type: ignore[no-untyped-def]
        dy0, dy1, dy2, b0, b1, b2, h, scratch, tokens, stride0, stride1, stride2, width0, width1, width2, h_steps,
        H_STEP: tl.constexpr, R: tl.constexpr, RANK: tl.constexpr, PARTS: tl.constexpr,
        ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        block = tl.program_id(0)
        part_dh = scratch + block.to(tl.int64) * tokens * R
        part_db = scratch + tl.num_programs(0).to(tl.int64) * tokens * R
        whole = width0
        dy, b, stride, width = dy0, b0, stride0, width0
        if PARTS > 1:  # which layer's block it is
            whole += width1
            if PARTS == 3:
                whole += width2
            end0 = tl.cdiv(width0, COLUMNS)
            end1 = end0 + tl.cdiv(width1, COLUMNS)
            if block >= end0:
                part_db += width0 * R
                h += R
                if PARTS == 3 and block >= end1:
                    dy, b, stride, width = dy2, b2, stride2, width2
                    part_db += width1 * R
                    h += R
                    block -= end1
                else:
                    dy, b, stride, width = dy1, b1, stride1, width1
                    block -= end0
        part_db += tl.program_id(1).to(tl.int64) * whole * R
        tiles = tl.cdiv(tokens, ROWS)
        first = tl.program_id(1) * tiles // tl.num_programs(1)
        last = (tl.program_id(1) + 1) * tiles // tl.num_programs(1)
        columns = block * COLUMNS + tl.arange(0, COLUMNS)
        ranks, low = tl.arange(0, RANK), tl.arange(0, ROWS)
        is_column, is_rank = columns < width, ranks < R
        h_stride = h_steps * H_STEP
        turned_b = tl.load(
            b + ranks[:, None] * width + columns[None, :],
            mask=is_rank[:, None] & is_column[None, :],
            other=0.0,
        )
        right = tl.trans(turned_b)
        row = first * ROWS
        start = row.to(tl.int64)  # a row's place may be beyond 32 bits, and what lies within a tile is not
        own_dy, own_h, own_dh = dy + start * stride, h + start * h_stride, part_dh + start * R
        sums = tl.zeros((COLUMNS, RANK), dtype=tl.float32)
        for _ in range(first, last):
            is_row = low < tokens - row
            inside = is_row[:, None] & is_rank[None, :]
            tile = tl.load(
                own_dy + (low[:, None] * stride + columns[None, :]),
                mask=is_row[:, None] & is_column[None, :],
                other=0.0,
            )
            beside = tl.load(own_h + (low[:, None] * h_stride + ranks[None, :]), mask=inside, other=0.0)
            # "ieee": else fp32 would be rounded to TF32
            sums = tl.dot(tl.trans(tile), beside, sums, input_precision="ieee")
            dh = tl.dot(tile, right, input_precision="ieee")
            tl.store(own_dh + (low[:, None] * R + ranks[None, :]), dh, mask=inside)
            own_dy += ROWS * stride
            own_h += ROWS * h_stride
            own_dh += ROWS * R
            row += ROWS
        inside = is_column[:, None] & is_rank[None, :]
        tl.store(part_db + columns[:, None] * R + ranks[None, :], sums, mask=inside)

    @triton.jit(do_not_specialize=["tokens", "whole", "strips", "end0", "end1", "end2", "dh_stride"])
    def _add_up(  # type: ignore[no-untyped-def]
        scratch, dh, db, tokens, whole, strips, end0, end1, end2, dh_stride,
        R: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
    ):  # fmt: skip
        """dh from what each block of columns gave, and dB from what each strip of rows gave."""
        n_dh, n_db = tokens * R, whole * R
        each = tl.cdiv(n_dh, BLOCK)  # programs for one layer's dh
        program = tl.program_id(0)
        if program < each * PARTS:
            part = program // each
            places = (program - part * each) * BLOCK + tl.arange(0, BLOCK)
            first = tl.where(part == 0, 0, tl.where(part == 1, end0, end1))
            last = tl.where(part == 0, end0, tl.where(part == 1, end1, end2))
            summed = _sum(scratch, places, n_dh, first, last, BLOCK, CHUNK)
            to = dh + (places // R).to(tl.int64) * dh_stride + part * R + places % R
            tl.store(to, summed.to(dh.dtype.element_ty), mask=places < n_dh)
        else:
            places = (program - each * PARTS) * BLOCK + tl.arange(0, BLOCK)
            partial_db = scratch + end2.to(tl.int64) * tokens * R
            summed = _sum(partial_db, places, n_db, 0, strips, BLOCK, CHUNK)
            tl.store(db + places, summed.to(db.dtype.element_ty), mask=places < n_db)

    @triton.jit
    def _sum(partial, places, n, first, last, BLOCK: tl.constexpr, CHUNK: tl.constexpr):  # type: ignore[no-untyped-def]
        """The sum of partial[first:last] at these places, each of the parts n numbers long."""
        sums = tl.zeros((CHUNK, BLOCK), dtype=tl.float32)
        chunk = tl.arange(0, CHUNK)
        for at in range(first, last, CHUNK):
            which = at + chunk
            sums += tl.load(
                partial + which[:, None].to(tl.int64) * n + places[None, :],
                mask=(which < last)[:, None] & (places < n)[None, :],
                other=0.0,
            )
        return tl.sum(sums, axis=0)
