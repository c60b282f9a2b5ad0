"""Answers that are nearly equal: MinHash over triples of words, candidates by bands, 64 bytes a row.

One permutation, 32 bins, empty bins filled by rotation (Shrivastava and Li, ICML 2014): each triple is hashed once.
The share is that of common triples in all triples of both. Answers with a share of 0.85 meet in a band with 98%
probability, those with 0.6 with about 60%; then they are compared bin by bin, which estimates the share without bias
and with a standard deviation of 0.04 to 0.1 (6,000 random pairs of 15 to 400 words, 2026-11-30).
"""

import re
from array import array
from typing import Iterator, List, Optional, Sequence, Tuple
from zlib import crc32

from envdoc.train.examine.same import groups

BINS, BAND = 32, 4
NEAR_SHARE = 0.8
FEWEST_TRIPLES = 10  # short answers are often alike and right
MOST_WORDS = 512  # of a longer answer the beginning is compared
WORD = re.compile(r"[぀-ヿ㐀-鿿가-힣]|\w+")  # in Chinese, Japanese and Korean each character is one
BIN_SHIFT = 32 - 5  # the upper five bits of a hash say its bin


def signature(answer: str) -> Optional["array[int]"]:
    """BINS numbers of 16 bits, of which two answers share about the share of their triples; None if it is short."""
    words = WORD.findall(answer.lower())[:MOST_WORDS]
    triples = set(map(" ".join, zip(words, words[1:], words[2:])))
    if len(triples) < FEWEST_TRIPLES:
        return None
    hashes = sorted(map(crc32, map(str.encode, triples)), reverse=True)
    lowest = {
        value >> BIN_SHIFT: value & 0xFFFF for value in hashes
    }  # the last one that comes to a bin is its lowest
    made = array("H", bytes(2 * BINS))
    following = lowest[min(lowest)]
    for place in reversed(range(BINS)):
        following = lowest.get(place, following)
        made[place] = following
    return made


class Near:
    """The signatures of all answers that are long enough, by the position of their row."""

    def __init__(self) -> None:
        self.positions = array("L")
        self.signatures = array("H")

    def add(self, position: int, answer: str) -> None:
        """The last answer of the row at that position."""
        made = signature(answer)
        if made is not None:
            self.positions.append(position)
            self.signatures.extend(made)

    def pairs(self) -> Iterator[Tuple[int, int]]:
        """(an earlier row's position, a later row's) of nearly equal answers; a later row may come more than once.

        Of the rows that meet in a band each is compared with the first one alone, so that the work stays linear.
        """
        for band in range(0, BINS, BAND):
            for meeting in groups(self._band_keys(band)):
                first = self._signature(meeting[0])
                for other in meeting[1:]:
                    if share(first, self._signature(other)) >= NEAR_SHARE:
                        yield self.positions[meeting[0]], self.positions[other]

    def _band_keys(self, band: int) -> "array[int]":
        view = (
            memoryview(self.signatures).cast("B").cast("Q")
        )  # a band of four 16-bit numbers is one of 64 bits
        return array("Q", view[band // BAND :: BINS // BAND]) if len(self.signatures) else array("Q")

    def _signature(self, index: int) -> Sequence[int]:
        return self.signatures[index * BINS : (index + 1) * BINS]


def share(one: Sequence[int], other: Sequence[int]) -> float:
    """The estimated share of common triples, 0 to 1."""
    return sum(first == second for first, second in zip(one, other)) / BINS


def first_of_each(pairs: Iterator[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """Each later row once, with an earlier one that it is near to, in the order of the rows."""
    found = {}
    for earlier, later in pairs:
        found.setdefault(later, earlier)
    return [(earlier, later) for later, earlier in sorted(found.items())]
