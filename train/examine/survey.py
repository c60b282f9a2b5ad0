"""The pass over a data set: every row refused or looked at, then all compared. Nothing stops at a bad row."""

import re
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from envdoc.train import tokenised
from envdoc.train.config import Run
from envdoc.train.data import Row, data_file, row_of
from envdoc.train.errors import DataError
from envdoc.train.examine.comparisons import Comparisons
from envdoc.train.examine.lengths import Lengths
from envdoc.train.examine.measure import Ids
from envdoc.train.examine.remarks import ERROR, INFO, WARNING, Remark, Tally
from envdoc.train.examine.scripts import Scripts
from envdoc.train.examine.texts import SAYINGS, marks
from envdoc.train.progress import say
from envdoc.train.readers import Unreadable, raw_rows
from envdoc.train.shapes import shape_of

SAY_EVERY_SECONDS = 10.0
MOST_KINDS = 12  # of refusals told apart; a file of another kind altogether would have one a row
FEW_LEARNT = 0.05  # of all tokens: below, most of the computing is spent on questions


@dataclass(frozen=True)
class Survey:
    """What one data set is, and what was found in it."""

    path: str
    shape: str
    rows: int  # that training would take
    refused: int
    turns: Lengths  # questions of a row
    lengths: Lengths
    unit: str  # "tokens" or "estimated tokens"
    unit_note: str
    learnt_tokens: int  # 0 where the unit is an estimate
    characters: int
    max_length: int
    too_long: str  # what training does with longer rows
    scripts: Dict[str, int]  # rows by the script of their last answer; "none" where it has no letters
    remarks: Tuple[Remark, ...]
    seconds: float

    @property
    def fit(self) -> bool:
        """Whether training would take it."""
        return not any(remark.level == ERROR for remark in self.remarks)


def survey(run: Run, measure: Any) -> Survey:
    """Everything about the data of `run`, its rows measured by `measure`. Raises DataError for an unreadable file."""
    started = time.monotonic()
    looked = _Pass(run, measure)
    path = data_file(run.data)
    for number, content in raw_rows(path, run.data.split):
        looked.take(number, content, f"`{path}`, row {number},")
        looked.tell_progress()
    if not looked.seen:
        raise DataError(f"The data file `{path}` holds no row.")
    return Survey(
        path=str(path),
        shape=looked.shape or "unknown",
        rows=looked.lengths.rows,
        refused=looked.seen - looked.lengths.rows,
        turns=looked.turns,
        lengths=looked.lengths,
        unit=looked.measure.unit,
        unit_note=looked.measure.note,
        learnt_tokens=looked.learnt_tokens,
        characters=looked.characters.total,
        max_length=run.data.max_length,
        too_long=run.data.too_long,
        scripts=looked.scripts.counts(),
        remarks=looked.remarks(),
        seconds=time.monotonic() - started,
    )


class _Pass:
    """What is kept while the rows go by: counts, the first row numbers, and hashes."""

    def __init__(self, run: Run, measure: Any) -> None:
        self.data, self.measure = run.data, measure
        self.shape: Optional[str] = None if run.data.format == "auto" else run.data.format
        self.seen = 0
        self.said = time.monotonic()
        self.refusals: Dict[str, Tuple[str, Optional[str], Tally]] = {}
        self.marked: Dict[str, Tally] = {}
        self.turns, self.lengths, self.characters = Lengths(), Lengths(), Lengths()
        self.learnt_tokens = 0
        self.too_long, self.unlearnt, self.endless = Tally(), Tally(), Tally()
        self.scripts, self.comparisons = Scripts(), Comparisons()

    def take(self, number: int, content: Any, where: str) -> None:
        """One raw row: refused as training would refuse it, or looked at."""
        self.seen += 1
        try:
            if isinstance(content, Unreadable):
                raise DataError(f"{where} {content.problem}", content.hint)
            if self.shape is None:
                self.shape = shape_of(content, where)
            if self.shape == tokenised.SHAPE and not isinstance(self.measure, Ids):
                tokenised.check(self.data)
                self.measure = self.measure.of_ids(self.data.max_length)
            row = row_of(number, content, self.shape, where)
            length = self.measure.of(row)
        except DataError as error:
            self._refuse(number, error, where)
            return
        self._measured(row, length)
        if row.tokens is not None:
            self._look_at_ids(row, row.tokens)
            return
        self.turns.add(sum(message["role"] == "user" for message in row.messages), number)
        self.characters.add(len(row.messages[-1]["content"]), number)
        for code in marks(row.messages, self.measure.special):
            self.marked.setdefault(code, Tally()).add(number)
        self.scripts.add(number, row.messages[-2]["content"], row.messages[-1]["content"])
        self.comparisons.add(row)

    def _look_at_ids(self, row: Row, tokens: tokenised.Encoded) -> None:
        """Of text nothing is known; what is repeated is found by the ids themselves, each of them a word."""
        self.turns.add(tokens.answers, row.number)
        if self.measure.ends and tokens.end not in self.measure.ends:
            self.endless.add(row.number)
        first = tokens.learnt.index(1)
        asked, said = (" ".join(map(str, part)) for part in (tokens.ids[:first], tokens.ids[first:]))
        turns = [{"role": "user", "content": asked or said}, {"role": "assistant", "content": said}]
        self.comparisons.add(Row(row.number, tuple(turns)))

    def tell_progress(self) -> None:
        """A line now and then, so that a large file is seen to go on."""
        if self.seen % 1000 == 0 and time.monotonic() - self.said > SAY_EVERY_SECONDS:
            self.said = time.monotonic()
            say(f"{self.seen:,} rows read ...")

    def _refuse(self, number: int, error: DataError, where: str) -> None:
        problem = error.message
        if problem.startswith(where):
            problem = f"row {number},{problem[len(where) :]}"
        kind = re.sub(r"\d+|`[^`]*`", "N", problem)
        if kind not in self.refusals and len(self.refusals) >= MOST_KINDS:
            kind = "other"
        self.refusals.setdefault(kind, (problem, error.hint, Tally()))[2].add(number)

    def _measured(self, row: Row, length: Any) -> None:
        self.lengths.add(length.tokens, row.number)
        self.learnt_tokens += length.learnt
        is_long = length.tokens > self.data.max_length
        if is_long:
            self.too_long.add(row.number)
        kept = length.learnt_within if is_long and self.data.too_long == "cut" else length.learnt
        if self.measure.counts and not kept:
            self.unlearnt.add(row.number)

    def remarks(self) -> Tuple[Remark, ...]:
        """Everything that is to be said: errors first."""
        found = [*self._refused(), *self._of_length(), *self.comparisons.remarks(), *self.scripts.remarks()]
        for code, (level, text, hint) in SAYINGS.items():
            if code in self.marked:
                found.append(self.marked[code].remark(code, level, text, hint))
        order = (ERROR, WARNING, INFO)
        return tuple(sorted(found, key=lambda remark: order.index(remark.level)))

    def _refused(self) -> List[Remark]:
        by_count = sorted(self.refusals.values(), key=lambda refusal: -refusal[2].count)
        return [
            tally.remark("refused", ERROR, "{rows} {are} refused: " + _literal(problem), hint)
            for problem, hint, tally in by_count
        ]

    def _of_length(self) -> List[Remark]:
        found = []
        if self.too_long.count:
            does = {
                "error": "training refuses them",
                "drop": "training leaves them out",
                "cut": "training cuts their answers off",
            }[self.data.too_long]
            by = "" if self.measure.counts else " by the estimate"
            refuses = self.data.too_long == "error" or self.too_long.count == self.lengths.rows
            level = ERROR if self.measure.counts and refuses else WARNING
            text = f"{{rows}} {{are}} longer than `data.max_length` ({self.data.max_length:,} tokens){by}: {does}."
            hint = "Raise `data.max_length`, or set `data.too_long` to `drop` or `cut`."
            found.append(self.too_long.remark("too-long", level, text, hint))
        if self.unlearnt.count:
            text = "Nothing of {rows} would be learnt: no token of an answer is left."
            found.append(self.unlearnt.remark("nothing-learnt", ERROR, text, "Raise `data.max_length`."))
        if self.endless.count:
            text = "{answers} {end} with another token than this model's end token."
            hint = "What was cut off there, or saved without its end, teaches the model never to stop."
            found.append(self.endless.remark("no-end", WARNING, text, hint))
        total = self.lengths.total
        if 0 < self.learnt_tokens < FEW_LEARNT * total:
            text = f"Only {self.learnt_tokens / total:.1%} of all tokens are learnt; the rest is questions."
            found.append(Remark("few-learnt", WARNING, text, self.lengths.rows, ()))
        for what, lengths in (("answers", self.characters), ("rows", self.lengths)):
            spike = lengths.spike() if what == "answers" or self.measure.counts else None
            if spike:
                unit = "characters" if what == "answers" else "tokens"
                text = f"{spike[1]:,} {what} have exactly the greatest length, {spike[0]:,} {unit}: a limit cut them."
                hint = "A cut answer teaches the model to stop anywhere: make them again with a higher limit."
                found.append(
                    Remark("cut-at-one-length", WARNING, text, spike[1], (lengths.longest_row,), hint)
                )
        return found


def _literal(text: str) -> str:
    """Text of the data, safe for str.format."""
    return text.replace("{", "{{").replace("}", "}}")
