"""What is said about a data set: remarks, each with the numbers of its first rows."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

ERROR, WARNING, INFO = "error", "warning", "info"  # error: training would refuse it
SHOWN_ROWS = 5


@dataclass(frozen=True)
class Remark:
    """One thing that was found, in how many rows, and in which first."""

    code: str
    level: str
    text: str  # a sentence
    count: int
    rows: Tuple[int, ...]  # the first few
    hint: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """The remark as plain values."""
        return {
            "code": self.code,
            "level": self.level,
            "text": self.text,
            "count": self.count,
            "rows": list(self.rows),
            "hint": self.hint,
        }


@dataclass
class Tally:
    """How many rows, and the first of them."""

    count: int = 0
    first: List[int] = field(default_factory=list)

    def add(self, number: int) -> None:
        """One more row."""
        self.count += 1
        if len(self.first) < SHOWN_ROWS:
            self.first.append(number)

    def remark(self, code: str, level: str, text: str, hint: Optional[str] = None) -> Remark:
        """The remark; `text` may hold {rows}, which becomes `1 row is` or `7 rows are`, and {has}, {count}."""
        one = self.count == 1
        words = {
            "count": f"{self.count:,}",
            "rows": f"{self.count:,} {'row' if one else 'rows'}",
            "answers": f"{self.count:,} {'answer' if one else 'answers'}",
            "are": "is" if one else "are",
            "have": "has" if one else "have",
            "end": "ends" if one else "end",
            "hold": "holds" if one else "hold",
            "say": "says" if one else "say",
            "repeat": "repeats" if one else "repeat",
        }
        return Remark(code, level, text.format(**words), self.count, tuple(self.first), hint)
