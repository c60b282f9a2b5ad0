"""The rows that the adapter is judged by: a file of their own, or a part of the training file, never trained on."""

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Collection, FrozenSet, Iterator, Optional, Tuple

from envdoc.train.config import Data, Run
from envdoc.train.data import Row, read_rows
from envdoc.train.errors import DataError

if TYPE_CHECKING:
    from envdoc.train.labels import Corpus


@dataclass(frozen=True)
class HeldOut:
    """What is judged by, as tokens, and how many of its rows are training rows too."""

    corpus: "Corpus"
    fraction: float  # of the training file; 0 for a file of its own
    repeated: int


@dataclass(frozen=True)
class Part(Collection[Row]):
    """Some of the rows, in their order; read again for each pass where `rows` are (data.streaming)."""

    rows: Collection[Row]
    chosen: FrozenSet[int]  # places
    kept: bool  # whether the chosen ones are this part, or the others

    def __len__(self) -> int:
        return len(self.chosen) if self.kept else len(self.rows) - len(self.chosen)

    def __iter__(self) -> Iterator[Row]:
        return (row for place, row in enumerate(self.rows) if (place in self.chosen) == self.kept)

    def __contains__(self, row: object) -> bool:
        return any(other == row for other in self)


def split(rows: Collection[Row], run: Run) -> Tuple[Collection[Row], Collection[Row]]:
    """The rows to train on and those to judge by, both in the file's order. Raises DataError where too few are left."""
    if run.data.eval_path:
        return rows, read_rows(_judged_by(run.data))
    if not run.data.eval_fraction:
        return rows, ()
    count = max(1, round(len(rows) * run.data.eval_fraction))
    if count >= len(rows):
        raise DataError(
            f"`data.eval_fraction` is {run.data.eval_fraction:g}, which leaves none of {len(rows):,} to train on.",
            "Give more rows, or judge by a file of their own: `data.eval_path=FILE`.",
        )
    chosen = frozenset(random.Random(run.train.seed).sample(range(len(rows)), count))
    return Part(rows, chosen, kept=False), Part(rows, chosen, kept=True)


def encode(rows: Collection[Row], trained: Collection[Row], tokenizer: Any, run: Run) -> Optional[HeldOut]:
    """The rows apart as tokens, in the template of training; None where there are none. Raises DataError."""
    from envdoc.train import labels

    if not rows:
        return None
    said = Counter(row.content for row in rows)
    again = {row.content for row in trained if row.content in said}
    return HeldOut(
        corpus=labels.encode(rows, tokenizer, _judged_by(run.data), run.train.workers),
        fraction=run.data.eval_fraction,
        repeated=sum(said[content] for content in again),
    )


def _judged_by(data: Data) -> Data:
    """What is read to judge by: each row by itself, whatever the training packs."""
    if data.eval_path:
        data = replace(data, path=data.eval_path, split=data.eval_split)
    return replace(data, packing=False, group_by_length=False)


def line(held_out: HeldOut, run: Run) -> str:
    """The plan's line."""
    corpus = held_out.corpus
    rows = f"{len(corpus.rows)} row{'' if len(corpus.rows) == 1 else 's'}"
    part = (
        f"{held_out.fraction:.0%} of the rows, chosen by the seed"
        if held_out.fraction
        else f"all of {corpus.path}"
    )
    often = "update" if run.eval.every == 1 else f"{run.eval.every} updates"
    told = f"Judging   {rows} held out ({part}), every {often} and at the end"
    if run.eval.patience:
        times = f"{run.eval.patience} time{'' if run.eval.patience == 1 else 's'}"
        told += f"; the run ends when the loss has not fallen {times} running, and the best adapter is kept"
    if held_out.repeated:
        told += f". {held_out.repeated} of them are training rows too, word for word: their loss tells less"
    return f"{told}."
