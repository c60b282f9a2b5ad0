"""Hundreds of small matrices copied, scaled and rounded to 16 bits in one launch: the adapter, after each update.

torch copies lists of tensors of two dtypes one by one: for a 7B 700 kernels, 3 ms of an update of 400 (H200,
2026-11-30). Where every source lies and where it goes stays as it is for a run, so that a table of it is sent once.
"""

import struct
from typing import List, Sequence, Tuple

import torch

from envdoc.train.fast import kernels
from envdoc.train.fast.kernels import triton

if triton is not None:
    import triton.language as tl

Move = Tuple[torch.Tensor, torch.Tensor, float]  # from (rows, columns), to the same in any strides, times

BLOCK = 4096  # numbers of a program
FIELDS = 7  # of a move in the table


class Moves:
    """Some moves on one device, to be made again and again."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self.moves = list(moves)
        given = self.moves[0][0]
        self.can_launch = kernels.usable(given) and all(
            source.dtype == torch.float32 and source.is_contiguous() for source, _, _ in self.moves
        )
        if self.can_launch:
            rows = [_described(*move) for move in self.moves]
            self.table = torch.tensor(rows, dtype=torch.int64).to(given.device)
            self.most = max(-(-source.numel() // BLOCK) for source, _, _ in self.moves)

    def make(self) -> None:
        """Make them all."""
        if self.can_launch and kernels.started("Copying the adapter", self._launch):
            return
        for source, place, scale in self.moves:
            place.copy_(source if scale == 1.0 else source * scale)

    def _launch(self) -> None:
        place = self.moves[0][1]
        with kernels.on_device_of(place):
            _move[(len(self.moves), self.most)](self.table, place, FIELDS=FIELDS, BLOCK=BLOCK)


def _described(source: torch.Tensor, place: torch.Tensor, scale: float) -> List[int]:
    (bits,) = struct.unpack("i", struct.pack("f", scale))
    steps = place.stride(0), place.stride(1)
    return [source.data_ptr(), place.data_ptr(), source.numel(), source.shape[1], *steps, bits]


if triton is not None:

    @triton.jit
    def _move(table, like, FIELDS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        entry = table + tl.program_id(0) * FIELDS
        numbers = tl.load(entry + 2)
        at = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        if tl.program_id(1) * BLOCK < numbers:
            source = tl.load(entry).to(tl.pointer_type(tl.float32))
            place = tl.load(entry + 1).to(tl.pointer_type(like.dtype.element_ty))
            columns = tl.load(entry + 3)
            scale = tl.load(entry + 6).to(tl.int32).to(tl.float32, bitcast=True)
            inside = at < numbers
            value = tl.load(source + at, mask=inside, other=0.0) * scale
            to = (at // columns) * tl.load(entry + 4) + (at % columns) * tl.load(entry + 5)
            tl.store(place + to, value.to(like.dtype.element_ty), mask=inside)
