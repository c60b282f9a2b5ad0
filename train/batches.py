"""Batches: units in an order that depends on seed and epoch alone, cut into micro-batches, padded by length.

A unit is one row, or with `data.packing` one pack of rows. A micro-batch is `batch_size` units.
"""

from functools import lru_cache
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from envdoc.train.config import Data
from envdoc.train.labels import MASKED, Tokens
from envdoc.train.packing import pack as packs_of

PAD_TO = 8  # tensor cores take lengths that are multiples of 8
POOL = 64  # micro-batches whose rows are sorted together by length: enough for little padding, and still a shuffle

Batch = Dict[str, torch.Tensor]
Unit = Tuple[int, ...]  # places of rows


class Units:
    """What an epoch is made of, and in which order: as many units in every epoch, shuffled by seed and epoch.

    Nothing is remembered from epoch to epoch, so that a resumed run sees the rows that the interrupted one would have
    seen (accelerate #2016, verl #7401: a sampler with a state of its own goes wrong at an epoch's end).
    """

    def __init__(self, lengths: Sequence[int], data: Data, seed: int, batch_size: int = 1) -> None:
        self.lengths, self.data, self.seed, self.batch_size = lengths, data, seed, batch_size
        self._packed = lru_cache(maxsize=1)(self._packs)  # of the epoch that runs
        self._count = len(self._packed(0)) if data.packing else len(lengths)

    def __len__(self) -> int:
        return self._count

    def order(self, epoch: int) -> List[Unit]:
        """The units of an epoch."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        if self.data.packing:
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


class ShuffledUnits(Sampler):  # type: ignore[misc]
    """The units of one epoch. The epoch is asked for when the order is made."""

    def __init__(self, units: Units, epoch: Callable[[], int]) -> None:
        self.units, self.epoch = units, epoch

    def __len__(self) -> int:
        return len(self.units)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self.units.order(self.epoch()))


class RowsOfUnits(Dataset):  # type: ignore[misc]
    """The rows of a unit, read where it is asked for."""

    def __init__(self, rows: Sequence[Tokens], units: Units) -> None:
        self.rows, self.units = rows, units

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, unit: Unit) -> List[Tokens]:
        return [self.rows[place] for place in unit]


def pad(rows: Sequence[Tokens], pad_id: int) -> Batch:
    """One micro-batch: input_ids, attention_mask and labels, each (rows, length) of int64.

    Padding is masked by length and never by its id: where the pad token is also the end token, a mask by id would
    unlearn the end of every answer (transformers #22794).
    """
    batch = _lay([[row] for row in rows], pad_id)
    batch["attention_mask"] = torch.zeros_like(batch["input_ids"])
    for place, row in enumerate(rows):
        batch["attention_mask"][place, : len(row.input_ids)] = 1
    return batch


def lay_packs(packs: Sequence[Sequence[Tokens]], pad_id: int) -> Batch:
    """One micro-batch of packs: input_ids, labels and position_ids, each (packs, length) of int64.

    Positions begin at 0 with each row; `packed.py` keeps attention within them. On padding each is 0, a row of its
    own. The first label of a row is MASKED: the token before it belongs to another row.
    """
    batch = _lay(packs, pad_id)
    batch["position_ids"] = torch.zeros_like(batch["input_ids"])
    for place, rows in enumerate(packs):
        start = 0
        for row in rows:
            stop = start + len(row.input_ids)
            batch["position_ids"][place, start:stop] = torch.arange(stop - start)
            batch["labels"][place, start] = MASKED
            start = stop
    return batch


def useful_tokens(batch: Batch) -> int:
    """Tokens of a micro-batch that are no padding."""
    if "attention_mask" in batch:
        return int(batch["attention_mask"].sum())
    positions = batch["position_ids"]
    begins = (positions[:, :-1] == 0) & (positions[:, 1:] == 1)  # a row has two tokens or more
    return int((positions > 0).sum() + begins.sum())


def halve(batch: Batch) -> Optional[Tuple[Batch, Batch]]:
    """The micro-batch in two, each padded no further than it needs; None for a single row.

    By units, so that the halves of 8 are those that the loader makes with a batch size of 4, byte for byte; a single
    pack where its row that begins nearest to the middle begins.
    """
    units = len(batch["input_ids"])
    if units > 1:
        first, second = ({name: part[half] for name, part in batch.items()} for half in _halves(units))
    elif "position_ids" in batch:
        begins = [int(place) for place in (batch["position_ids"][0] == 0).nonzero()[1:]]
        inside = [place for place in begins if place < useful_tokens(batch)]
        if not inside:
            return None
        cut = min(inside, key=lambda place: abs(2 * place - useful_tokens(batch)))
        first = {name: part[:, :cut] for name, part in batch.items()}
        second = {name: part[:, cut:] for name, part in batch.items()}
    else:
        return None
    return _trimmed(first), _trimmed(second)


def loader(
    rows: Sequence[Tokens],
    batch_size: int,
    accumulation: int,
    pad_id: int,
    seed: int,
    epoch: Callable[[], int],
    units: Optional[Units] = None,
) -> "DataLoader[Any]":
    """Batches of one update each: {"micro_batches": [...]}, `accumulation` of them with `batch_size` units."""
    if units is None:
        units = Units([0] * len(rows), Data(), seed)
    packing = units.data.packing

    def collate(update: List[List[Tokens]]) -> Dict[str, List[Batch]]:
        parts = [update[start : start + batch_size] for start in range(0, len(update), batch_size)]
        if packing:
            return {"micro_batches": [lay_packs(part, pad_id) for part in parts]}
        return {"micro_batches": [pad([row for unit in part for row in unit], pad_id) for part in parts]}

    return DataLoader(
        RowsOfUnits(rows, units),
        batch_size=batch_size * accumulation,
        sampler=ShuffledUnits(units, epoch),
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else each epoch draws from the generator that dropout uses
    )


def _lay(packs: Sequence[Sequence[Tokens]], pad_id: int) -> Batch:
    """Ids and labels end to end, a line a pack, filled up to a multiple of PAD_TO."""
    lengths = [sum(len(row.input_ids) for row in rows) for rows in packs]
    length = _padded(max(lengths))
    input_ids = torch.full((len(packs), length), pad_id, dtype=torch.int64)
    labels = torch.full((len(packs), length), MASKED, dtype=torch.int64)
    for place, rows in enumerate(packs):
        input_ids[place, : lengths[place]] = torch.tensor([token for row in rows for token in row.input_ids])
        labels[place, : lengths[place]] = torch.tensor([label for row in rows for label in row.labels])
    return {"input_ids": input_ids, "labels": labels}


def _trimmed(batch: Batch) -> Batch:
    """Without the padding that only the other half needed; filled up where a cut left no multiple of PAD_TO."""
    if "attention_mask" in batch:
        longest = int(batch["attention_mask"].sum(dim=1).max())
    else:
        inside = batch["position_ids"] > 0
        longest = 1 + max(int(row.nonzero().max()) for row in inside)
    length = _padded(longest)
    short = max(0, length - batch["input_ids"].shape[1])
    fills = {"labels": MASKED}
    return {
        name: torch.nn.functional.pad(part[:, :length], (0, short), value=fills.get(name, 0))
        for name, part in batch.items()
    }


def _halves(units: int) -> Tuple[slice, slice]:
    return slice(0, -(-units // 2)), slice(-(-units // 2), units)


def _padded(length: int) -> int:
    return -(-length // PAD_TO) * PAD_TO


def _shuffled(count: int, generator: torch.Generator) -> List[int]:
    numbers: List[int] = torch.randperm(count, generator=generator).tolist()
    return numbers


def _plain(lengths: Sequence[int]) -> List[int]:
    """Python's own integers: an array's elements are several times slower to compare one by one."""
    return list(lengths.tolist()) if hasattr(lengths, "tolist") else list(lengths)
