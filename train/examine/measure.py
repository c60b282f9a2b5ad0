"""How long a row is: in tokens, by the tokenizer that will train on it; without one, by an estimate that says so."""

from dataclasses import dataclass
from typing import Any, FrozenSet, Optional, Tuple

from envdoc.train.config import TINY, Run
from envdoc.train.data import Row
from envdoc.train.tokenised import Own

BYTES_A_TOKEN = (
    4  # docs/data.md: with three tokenizers on ten texts the true count was 0.6 to 2.2 times bytes / 4
)


@dataclass(frozen=True)
class Length:
    """One row: tokens in all, and those that are learnt (0 where the length is an estimate)."""

    tokens: int
    learnt: int = 0
    learnt_within: int = 0  # of those, within max_length


class Estimate:
    """No tokenizer: the bytes of the text in UTF-8, by four."""

    counts = False
    unit = "estimated tokens"
    note = (
        "UTF-8 bytes / 4; the true count is 0.6 to 2.2 times that (docs/data.md). With --model it is counted."
    )
    special: Tuple[str, ...] = ()

    def of(self, row: Row) -> Length:
        """The estimate for one row."""
        text_bytes = sum(len(message["content"].encode()) for message in row.messages)
        return Length(-(-text_bytes // BYTES_A_TOKEN))

    def of_ids(self, limit: int) -> "Ids":
        """What measures rows that hold token ids."""
        return Ids(limit)


class Counted:
    """Tokens as `envdoc train` would make them: the same template, the same labels."""

    counts = True
    unit = "tokens"

    def __init__(self, run: Run) -> None:
        from envdoc.train.libraries import load_libraries

        load_libraries()
        from envdoc.train.labels import choose
        from envdoc.train.model import check_folder, load_tokenizer

        folder = check_folder(run.model)
        tokenizer = load_tokenizer(folder, run.model)
        self._way = choose(tokenizer, run.data)
        self._limit = run.data.max_length
        self._tokenizer, self._name = tokenizer, folder.name
        self.special = special_texts(tokenizer)
        self.note = f"by the tokenizer of {folder.name}, template: {self._way.template}."

    def of(self, row: Row) -> Length:
        """The tokens of one row. Raises DataError where the chat template refuses it."""
        made = self._way.tokens(row)
        # The first token is never predicted, so that a label on it teaches nothing.
        learnt = [place for place, label in enumerate(made.labels) if place and label >= 0]
        return Length(len(made.input_ids), len(learnt), sum(place < self._limit for place in learnt))

    def of_ids(self, limit: int) -> "Ids":
        """What measures rows that hold token ids, and knows the vocabulary that these must be of."""
        return Ids(limit, self._tokenizer, self._name)


class Ids:
    """Rows that were tokenised elsewhere: what is stored is counted, and with a tokenizer looked up in it."""

    counts = True
    unit = "tokens"
    ends: FrozenSet[int]  # ids at which generation with the model stops; none where none is named
    _own: Optional[Own]

    def __init__(self, limit: int, tokenizer: Any = None, name: str = "") -> None:
        self._limit = limit
        self._own, self.ends = None, frozenset()
        self.note = "as the rows hold them; with --model they are looked up in its vocabulary."
        if tokenizer is not None:
            from envdoc.train.labels import stop_ids

            self._own, self.ends = Own(tokenizer), frozenset(stop_ids(tokenizer))
            self.note = f"as the rows hold them; that the tokenizer of {name} made them no row says."

    def of(self, row: Row) -> Length:
        """The ids of one row. Raises DataError where one is in no vocabulary of the model."""
        assert row.tokens is not None
        if self._own is not None:
            self._own(row)
        ids, learnt = row.tokens
        return Length(len(ids), sum(learnt[1:]), sum(learnt[1 : self._limit]))


def measure_of(run: Run) -> Any:
    """`Counted` where the run names a model, else `Estimate`. Raises ModelError."""
    if run.model.path == TINY:
        return Estimate()
    return Counted(run)


def special_texts(tokenizer: Any) -> Tuple[str, ...]:
    """The tokenizer's special tokens that look like markers: one that is a plain word may stand in any text."""
    return tuple(
        token for token in map(str, tokenizer.all_special_tokens) if len(token) > 2 and not token.isalnum()
    )
