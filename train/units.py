"""What an epoch is made of, and in which order: from seed and epoch alone.

A unit is one row, or with `data.packing: true` one pack of rows.
"""

from functools import lru_cache
from typing import List, Sequence, Tuple

import torch

from envdoc.train.config import Data
from envdoc.train.packing import pack as packs_of

POOL = 64  # micro-batches whose rows are sorted together by length: enough for little padding, and still a shuffle

Unit = Tuple[int, ...]  # places of rows


class Units:
    """What an epoch is made of, and in which order: as many units in every epoch, shuffled by seed and epoch.

    Nothing is remembered from epoch to epoch, so that a resumed run sees the rows that the interrupted one would have
    seen (accelerate #2016, verl #7401: a sampler with a state of its own goes wrong at an epoch's end).
    """

    def __init__(self, lengths: Sequence[int], data: Data, seed: int, batch_size: int = 1) -> None:
        self.lengths, self.data, self.seed, self.batch_size = lengths, data, seed, batch_size
        self._packed = lru_cache(maxsize=1)(self._packs)  # of the epoch that runs
        self._count = len(self._packed(0)) if data.packing is True else len(lengths)

    def __len__(self) -> int:
        return self._count

    def order(self, epoch: int) -> List[Unit]:
        """The units of an epoch."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        if self.data.packing is True:
            packs = self._packed(epoch)
            return [packs[place] for place in _shuffled(len(packs), generator)]
        rows = _shuffled(len(self.lengths), generator)
        if self.data.group_by_length:
            rows = self._grouped(rows, generator)
        return [(row,) for row in rows]

    def _packs(self, epoch: int) -> List[Unit]:
        """Rows of one length change places from epoch to epoch, and so do the rows that share a pack."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = _shuffled(len(self.lengths), generator)
        return [tuple(rows) for rows in packs_of(_plain(self.lengths), self.data.max_length, order)]

    def _grouped(self, rows: List[int], generator: torch.Generator) -> List[int]:
        """Sorted within pools, cut into micro-batches, and these shuffled; a smaller one stays at the end."""
        lengths, size = _plain(self.lengths), POOL * self.batch_size
        pools = [rows[start : start + size] for start in range(0, len(rows), size)]
        by_length = [row for pool in pools for row in sorted(pool, key=lambda row: lengths[row])]
        whole = len(rows) // self.batch_size
        shuffled = [
            by_length[batch * self.batch_size + place]
            for batch in _shuffled(whole, generator)
            for place in range(self.batch_size)
        ]
        return shuffled + by_length[whole * self.batch_size :]


def _shuffled(count: int, generator: torch.Generator) -> List[int]:
    numbers: List[int] = torch.randperm(count, generator=generator).tolist()
    return numbers


def _plain(lengths: Sequence[int]) -> List[int]:
    """Python's own integers: an array's elements are several times slower to compare one by one."""
    return list(lengths.tolist()) if hasattr(lengths, "tolist") else list(lengths)
