"""The rows of a data set against each other: repeated, nearly repeated, asked alike and answered differently."""

from array import array
from typing import List, Set

from envdoc.train.data import Row
from envdoc.train.examine.near import Near, first_of_each
from envdoc.train.examine.remarks import INFO, WARNING, Remark, Tally
from envdoc.train.examine.same import groups, keys_of

SHOWN_PAIRS = 3

# code: level, sentence, hint
SENTENCES = {
    "duplicates": (WARNING, "{rows} {repeat} an earlier row", "Each is learnt twice: remove them."),
    "two-answers": (
        WARNING,
        "{rows} {repeat} an earlier question with another answer",
        "Right where answers vary on purpose; else keep the better one.",
    ),
    "near-duplicates": (
        WARNING,
        "{rows} {repeat} an earlier row but for case, blanks or punctuation",
        "Remove them.",
    ),
    "alike-answers": (
        INFO,
        "{answers} {have} nearly the words of an earlier one",
        "Keep some of each: what stands there often is learnt by heart.",
    ),
}


class Pairs(Tally):
    """Rows that are like an earlier one, and the first few with it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: List[str] = []

    def tell(self, later: int, earlier: int) -> None:
        """One more, by the numbers of both rows."""
        self.add(later)
        if len(self.shown) < SHOWN_PAIRS:
            self.shown.append(f"{later} is like {earlier}")


class Comparisons:
    """What is kept of each row for it: a number, three hashes of 8 bytes, and 64 bytes of a longer answer."""

    def __init__(self) -> None:
        self.numbers = array("Q")
        self.whole, self.questions, self.normal = array("Q"), array("Q"), array("Q")
        self.near = Near()

    def add(self, row: Row) -> None:
        """One more row."""
        whole, question, normal = keys_of(row.messages)
        self.near.add(len(self.numbers), row.messages[-1]["content"])
        self.numbers.append(row.number)
        self.whole.append(whole)
        self.questions.append(question)
        self.normal.append(normal)

    def remarks(self) -> List[Remark]:
        """What is to be said of all rows together."""
        alike: Set[int] = set()  # positions that another remark names already
        found = {
            "duplicates": self._duplicates(),
            "two-answers": self._two_answers(),
            "near-duplicates": self._near_duplicates(alike),
            "alike-answers": self._alike_answers(alike),
        }
        made = []
        for code, pairs in found.items():
            level, text, hint = SENTENCES[code]
            if pairs.count:
                more = ", ..." if pairs.count > len(pairs.shown) else ""
                made.append(pairs.remark(code, level, f"{text} ({', '.join(pairs.shown)}{more}).", hint))
        return made

    def _duplicates(self) -> Pairs:
        pairs = Pairs()
        for first, *later in sorted(groups(self.whole)):
            for position in later:
                pairs.tell(self.numbers[position], self.numbers[first])
        return pairs

    def _two_answers(self) -> Pairs:
        pairs = Pairs()
        for first, *later in sorted(groups(self.questions)):
            for position in later:
                if self.whole[position] != self.whole[first]:
                    pairs.tell(self.numbers[position], self.numbers[first])
        return pairs

    def _near_duplicates(self, alike: Set[int]) -> Pairs:
        pairs = Pairs()
        for first, *later in sorted(groups(self.normal)):
            alike.update(later)
            seen = {self.whole[first]}
            for position in later:
                if self.whole[position] not in seen:
                    seen.add(self.whole[position])
                    pairs.tell(self.numbers[position], self.numbers[first])
        return pairs

    def _alike_answers(self, alike: Set[int]) -> Pairs:
        pairs = Pairs()
        for earlier, later in first_of_each(self.near.pairs()):
            if later not in alike:
                pairs.tell(self.numbers[later], self.numbers[earlier])
        return pairs
