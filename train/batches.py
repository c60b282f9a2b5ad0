"""Batches: rows in an order that depends on seed and epoch alone, cut into micro-batches, padded by length."""

from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from torch.utils.data import DataLoader, Sampler

from envdoc.train.labels import MASKED, Tokens

PAD_TO = 8  # tensor cores take lengths that are multiples of 8

Batch = Dict[str, torch.Tensor]


class ShuffledRows(Sampler):  # type: ignore[misc]
    """The rows of one epoch, shuffled by seed and epoch.

    The epoch is asked for when the order is made, so that a resumed run sees the rows that the interrupted one
    would have seen (accelerate #2016, verl #7401: a sampler with a state of its own goes wrong at an epoch's end).
    """

    def __init__(self, rows: int, seed: int, epoch: Callable[[], int]) -> None:
        self.rows, self.seed, self.epoch = rows, seed, epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch())
        return iter(torch.randperm(self.rows, generator=generator).tolist())


def pad(rows: Sequence[Tokens], pad_id: int) -> Batch:
    """One micro-batch: input_ids, attention_mask and labels, each (rows, length) of int64.

    Padding is masked by length and never by its id: where the pad token is also the end token, a mask by id would
    unlearn the end of every answer (transformers #22794).
    """
    longest = max(len(row.input_ids) for row in rows)
    length = -(-longest // PAD_TO) * PAD_TO
    input_ids = torch.full((len(rows), length), pad_id, dtype=torch.int64)
    labels = torch.full((len(rows), length), MASKED, dtype=torch.int64)
    attention_mask = torch.zeros((len(rows), length), dtype=torch.int64)
    for place, row in enumerate(rows):
        count = len(row.input_ids)
        input_ids[place, :count] = torch.tensor(row.input_ids)
        labels[place, :count] = torch.tensor(row.labels)
        attention_mask[place, :count] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


def halve(batch: Batch) -> Optional[Tuple[Batch, Batch]]:
    """Two micro-batches with the first and the second half of the rows, each padded to its own longest; None for one.

    The halves of a micro-batch of 8 are those that the loader makes with a batch size of 4, byte for byte.
    """
    rows = len(batch["input_ids"])
    if rows < 2:
        return None
    middle = -(-rows // 2)
    return (
        _narrowed({key: value[:middle] for key, value in batch.items()}),
        _narrowed({key: value[middle:] for key, value in batch.items()}),
    )


def _narrowed(batch: Batch) -> Batch:
    longest = int(batch["attention_mask"].sum(dim=1).max())
    length = -(-longest // PAD_TO) * PAD_TO
    return {key: value[:, :length] for key, value in batch.items()}


def loader(
    rows: Sequence[Tokens],
    batch_size: int,
    accumulation: int,
    pad_id: int,
    seed: int,
    epoch: Callable[[], int],
) -> "DataLoader[Any]":
    """Batches of one update each: {"micro_batches": [...]}, `accumulation` of them with `batch_size` rows."""

    def collate(update: List[Tokens]) -> Dict[str, List[Batch]]:
        parts = [update[start : start + batch_size] for start in range(0, len(update), batch_size)]
        return {"micro_batches": [pad(part, pad_id) for part in parts]}

    return DataLoader(
        rows,
        batch_size=batch_size * accumulation,
        sampler=ShuffledRows(len(rows), seed, epoch),
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else each epoch draws from the generator that dropout uses
    )
