"""The tiles of a line's rows, for kernels of which each program takes one: laid on the host, with the line.

So nobody asks the GPU for them, no program is empty, and those with the most to do begin first. One table serves every
layer and all three kernels of short_rows.py.
"""

from typing import Sequence

import numpy
import torch

from envdoc.train.fast import lines

TILE = 64  # tokens: faster than 128 in each of the three kernels, with rows of 33 to 511 (H200, 2026-11-30)
# Measured up to there. A tile is compared with its row's tiles alone and one after another, and what pipelines long
# rows is faster from somewhere above.
LONGEST = lines.SHORT
FEWEST = 32  # tiles by which a table is filled up, at the least


def of(lengths: Sequence[int]) -> torch.Tensor:
    """(tiles, 3) of int32: where the tile's row begins on the line, its length, and where in it the tile begins.

    `lengths` are those of the rows in the order in which they lie. The longest row comes first, its last tile first:
    that one sees the most keys.
    """
    rows = numpy.asarray(lengths, dtype=numpy.int64)
    begins = rows.cumsum() - rows
    order = numpy.argsort(-rows, kind="stable")
    counts = -(-rows[order] // TILE)
    each = numpy.repeat(order, counts)
    left = (
        numpy.repeat(counts.cumsum(), counts) - numpy.arange(len(each)) - 1
    )  # tiles of the row before this one
    return torch.from_numpy(numpy.stack([begins[each], rows[each], left * TILE], axis=1).astype(numpy.int32))


def filled(laid: torch.Tensor, count: int) -> torch.Tensor:
    """The table with tiles of no row behind it, which a program leaves at once, up to `count` or a multiple of it."""
    missing = -len(laid) % count
    return torch.nn.functional.pad(laid, (0, 0, 0, missing))


def step_of(tokens: int) -> int:
    """A multiple of how many tiles the table of a line of so many tokens is filled up to, where lines are recorded.

    As many as there are if each row leaves its last tile half empty and is two tiles long: nearly every line has fewer.
    """
    return max(FEWEST, 2 * tokens // TILE)
