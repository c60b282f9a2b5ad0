"""How long rows are: a count of each length, from which percentiles and a plot in plain text are made."""

from collections import Counter
from typing import Any, Dict, List, Optional, Tuple
from typing import Counter as Counts

BAR_CHARACTERS = 40


class Lengths:
    """Lengths of one kind. Memory goes with the number of different lengths, not of rows."""

    def __init__(self) -> None:
        self.counts: Counts[int] = Counter()
        self.longest, self.longest_row = 0, 0

    def add(self, length: int, number: int) -> None:
        """The length of the row of that number."""
        self.counts[length] += 1
        if length > self.longest:
            self.longest, self.longest_row = length, number

    @property
    def rows(self) -> int:
        """How many were counted."""
        return sum(self.counts.values())

    @property
    def total(self) -> int:
        """All lengths together."""
        return sum(length * count for length, count in self.counts.items())

    def at(self, share: float) -> int:
        """The length that this share of the rows (0 to 1) does not exceed."""
        wanted, seen = share * self.rows, 0
        for length in sorted(self.counts):
            seen += self.counts[length]
            if seen >= wanted:
                return length
        return self.longest

    def above(self, limit: int) -> int:
        """How many rows are longer."""
        return sum(count for length, count in self.counts.items() if length > limit)

    def spike(self) -> Optional[Tuple[int, int]]:
        """(length, rows) where suspiciously many rows have exactly the greatest length: a limit cut them.

        At least 5 rows and 0.2% of all must have it, and it must be over three times the median: else short answers
        that are equal (labels, numbers) would look like that.
        """
        count = self.counts[self.longest]
        if count < max(5, self.rows * 0.002) or self.longest <= 3 * self.at(0.5):
            return None
        return self.longest, count

    def bins(self) -> List[Tuple[int, int, int]]:
        """(from, to, rows) with limits that double, empty ones at both ends left out."""
        filled: Counts[int] = Counter()
        for length, count in self.counts.items():
            filled[max(0, length - 1).bit_length()] += count  # 5 to 8 are bin 3
        if not filled:
            return []
        return [
            ((1 << place - 1) + 1 if place else 0, 1 << place, filled[place])
            for place in range(min(filled), max(filled) + 1)
        ]

    def plot(self, limit: int) -> List[str]:
        """The bins as bars; those beyond `limit` are marked."""
        bins = self.bins()
        most = max(rows for _, _, rows in bins)
        width = len(f"{bins[-1][1]:,}")
        lines = []
        for start, end, rows in bins:
            bar = "#" * (-(-rows * BAR_CHARACTERS // most))
            mark = "  over max_length" if start > limit else ""
            lines.append(f"  {start:>{width},} to {end:>{width},}  {bar:<{BAR_CHARACTERS}} {rows:,}{mark}")
        return lines

    def to_json(self) -> Dict[str, Any]:
        """Percentiles, sum and bins."""
        return {
            "total": self.total,
            "median": self.at(0.5),
            "p90": self.at(0.9),
            "p99": self.at(0.99),
            "longest": self.longest,
            "longest_row": self.longest_row,
            "bins": [{"from": start, "to": end, "rows": rows} for start, end, rows in self.bins()],
        }
