"""How long the rows of a run are: counted by its tokenizer where there is one, else estimated, and that is said."""

from dataclasses import dataclass
from typing import Any, List, Tuple

from envdoc.train import data, held_out
from envdoc.train.config import TINY, Run
from envdoc.train.errors import DataError, TrainError
from envdoc.train.estimate.modelplace import has_tokenizer
from envdoc.train.examine.measure import Counted, Estimate

MEASURED_ROWS = (
    20_000  # of more, every second, fourth... is measured: some seconds, and a mean within a per cent
)


@dataclass(frozen=True)
class Rows:
    """The rows to train on, by their lengths."""

    lengths: Tuple[int, ...]  # of those that were measured
    rows: int  # all
    learnt_share: float  # of the tokens; 1 where it is not known
    counted: bool
    note: str  # how, as part of a sentence
    judged_rows: int = 0

    @property
    def scale(self) -> float:
        """All rows against those that were measured."""
        return self.rows / len(self.lengths)


def rows_of(run: Run) -> Rows:
    """The rows that the run trains on. Raises DataError, ModelError."""
    rows, apart = held_out.split(data.read_rows(run.data), run)
    measure, why = _measure(run)
    lengths: List[int] = []
    tokens, learnt, stride, place = 0, 0, 1, 0
    for place, row in enumerate(rows):
        if place % stride:
            continue
        one = measure.of(row)
        lengths.append(one.tokens)
        tokens, learnt = tokens + one.tokens, learnt + one.learnt
        if len(lengths) > MEASURED_ROWS:
            lengths, stride = lengths[::2], 2 * stride
    if not lengths:
        raise DataError(f"The data `{run.data.path}` holds no row to train on.")
    share = learnt / tokens if measure.counts and run.data.train_on != "all" else 1.0
    note = (
        measure.note if measure.counts else f"UTF-8 bytes / 4, {why}: the true count is 0.6 to 2.2 times that"
    )
    return Rows(tuple(lengths), place + 1, share, measure.counts, note.rstrip("."), len(apart))


def _measure(run: Run) -> Tuple[Any, str]:
    """What counts a row, and why it is no tokenizer where it is none."""
    if run.model.path == TINY or not has_tokenizer(run.model):
        return Estimate(), "since the model's folder holds no tokenizer"
    try:
        return Counted(run), ""
    except TrainError as error:  # no transformers here, or a tokenizer that it cannot load
        return Estimate(), f"since the tokenizer was not loaded ({error.message.rstrip('.')})"
