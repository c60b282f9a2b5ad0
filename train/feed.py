"""Updates laid ahead: while the GPU computes one, a thread reads, lays and pins the next.

A thread and not processes: laying an update takes about a millisecond, most of it in numpy and torch, and a worker of
DataLoader costs the main thread more than that (docs/data-tokens.md). A thread needs no /dev/shm, leaves no orphan, and
is begun after any fork. Which rows an update holds follows from seed and epoch alone (units.py), so neither the thread
nor a resumption changes it.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Sequence

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from envdoc.train import answers
from envdoc.train.batches import PAD_TO, Batch, answer_tokens, lay_flat, lay_packs, pad, useful_tokens
from envdoc.train.packing import deal, even
from envdoc.train.token_store import StoredRows
from envdoc.train.turns import Tokens
from envdoc.train.units import Unit, Units

AHEAD = 2  # updates: one that waits, and one that is being laid

Update = Dict[str, Any]


@dataclass(frozen=True)
class Laying:
    """How the rows of an update become micro-batches.

    `layout` is one of the four of batches.py. With `data.packing: auto` all rows of an update are dealt anew into
    passes of at most batch_size x max_length tokens, and where several processes share them, into equally many for
    each; with packs and padded rows a micro-batch is `batch_size` of the units.
    """

    batch_size: int
    pad_id: int
    layout: str = "padded"
    packs: bool = False  # whether a unit is a pack
    max_length: int = 0
    share: int = 1  # processes
    step: int = PAD_TO  # tokens that a flat line is filled up to a multiple of

    def __call__(self, units: Sequence[Sequence[Tokens]]) -> List[Batch]:
        """The micro-batches of these units."""
        parts = [units[start : start + self.batch_size] for start in range(0, len(units), self.batch_size)]
        if self.layout == "padded":
            return [pad(_rows(part), self.pad_id) for part in parts]
        if self.packs:
            return [
                lay_packs(part, self.pad_id) if self.layout == "lines" else self._flat(_rows(part))
                for part in parts
            ]
        rows = _rows(units)
        lengths = [len(row.input_ids) for row in rows]
        passes = deal(lengths, self.batch_size * self.max_length, self.share)
        chosen = [[rows[place] for place in one] for one in passes]
        return [self._lines(one) if self.layout == "lines" else self._flat(one) for one in chosen]

    def _flat(self, rows: List[Tokens]) -> Batch:
        return lay_flat(rows, self.pad_id, self.layout == "tiled", self.step)

    def _lines(self, rows: List[Tokens]) -> Batch:
        """As many lines as `max_length` asks for, of like length: attention's cost grows with a line's square."""
        lengths = [len(row.input_ids) for row in rows]
        lines = even(lengths, min(len(rows), -(-sum(lengths) // self.max_length)))
        return lay_packs([[rows[place] for place in line] for line in lines], self.pad_id)


def update_of(micro_batches: List[Batch], waited: float = 0.0) -> Update:
    """What the trainer takes for one update: its micro-batches, and what is counted of all of them together."""
    return {
        "micro_batches": micro_batches,
        "tokens": sum(useful_tokens(batch) for batch in micro_batches),
        "answer_tokens": sum(answer_tokens(batch) for batch in micro_batches),
        "data_wait_seconds": waited,
    }


class Updates(Dataset):  # type: ignore[misc]
    """The updates of one epoch by their place; whoever asks for one has the next ones laid meanwhile."""

    def __init__(self, rows: Sequence[Tokens], units: Units, per_update: int, laying: Laying) -> None:
        self.rows, self.units, self.per_update, self.laying = rows, units, per_update, laying
        self._order: List[Unit] = []
        self._ahead: Dict[int, Future[Update]] = {}
        self._thread = ThreadPoolExecutor(1, "envdoc-lay")
        self._thread.submit(
            int
        ).result()  # begun now: a thread that finds no memory for its start hangs whoever waits

    def __len__(self) -> int:
        return -(-len(self.units) // self.per_update)

    def begin(self, epoch: int) -> None:
        """From now on the places are those of this epoch."""
        self._order, self._ahead = self.units.order(epoch), {}

    def __getitem__(self, place: int) -> Update:
        since = time.perf_counter()
        for near in range(place, min(place + 1 + AHEAD, len(self))):
            if near not in self._ahead:
                self._ahead[near] = self._thread.submit(self.lay, near)
        update = self._ahead.pop(place).result()
        return {**update, "data_wait_seconds": time.perf_counter() - since}

    def lay(self, place: int) -> Update:
        """The update at that place of the epoch, on the CPU, in pinned memory where there is a GPU."""
        units = self._order[place * self.per_update : (place + 1) * self.per_update]
        read = self.rows.arrays if isinstance(self.rows, StoredRows) else self.rows.__getitem__
        laid = self.laying([[read(row) for row in unit] for unit in units])
        update = update_of(laid)
        if torch.cuda.is_available():
            update["micro_batches"] = [_pinned(batch) for batch in laid]
            # Found here, or the GPU waits for it: gaps of 3 to 5 ms stood there (H200, 2026-11-30).
            for batch in update["micro_batches"]:
                answers.remember(batch["labels"], pinned=True)
        return update


class InOrder(Sampler):  # type: ignore[misc]
    """The places of an epoch's updates. Which epoch it is, is asked when they are gone through."""

    def __init__(self, updates: Updates, epoch: Callable[[], int]) -> None:
        self.updates, self.epoch = updates, epoch

    def __len__(self) -> int:
        return len(self.updates)

    def __iter__(self) -> Iterator[int]:
        self.updates.begin(self.epoch())
        return iter(range(len(self.updates)))


def loader(
    rows: Sequence[Tokens], units: Units, accumulation: int, laying: Laying, epoch: Callable[[], int]
) -> "DataLoader[Any]":
    """One update after another. A DataLoader, since Trainer knows how to begin one in the middle of an epoch."""
    updates = Updates(rows, units, laying.batch_size * accumulation, laying)
    return DataLoader(
        updates,
        batch_size=1,
        sampler=InOrder(updates, epoch),
        collate_fn=_only,
        generator=torch.Generator(),  # else each epoch draws from the generator that dropout uses
    )


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device, from pinned memory without waiting for it."""
    return {
        name: part.to(device, non_blocking=True) if isinstance(part, torch.Tensor) else part
        for name, part in batch.items()
    }


def _only(updates: List[Update]) -> Update:
    (update,) = updates
    return update


def _pinned(batch: Batch) -> Batch:
    return {
        name: part.pin_memory() if isinstance(part, torch.Tensor) else part for name, part in batch.items()
    }


def _rows(units: Sequence[Sequence[Tokens]]) -> List[Tokens]:
    return [row for unit in units for row in unit]
