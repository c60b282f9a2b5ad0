"""Answers that are nearly equal: MinHash over triples of words, candidates by bands, 64 bytes a row.

One permutation, 32 bins, empty bins filled by rotation (Shrivastava and Li, ICML 2014): each triple is hashed once.
Answers that share 80% of their triples meet in a band with 98% probability, those that share 50% with 40%; then they
are compared bin by bin, which estimates the share with a standard deviation of 7%.
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
EMPTY = 1 << 32
MIX = 0x9E3779B1  # an odd number near 2^32 over the golden ratio: spreads what crc32 leaves in a pattern


def signature(answer: str) -> Optional["array[int]"]:
    """BINS numbers of 16 bits, of which two answers share about the share of their triples; None if it is short."""
    words = WORD.findall(answer.lower())[:MOST_WORDS]
    triples = {" ".join(triple) for triple in zip(words, words[1:], words[2:])}
    if len(triples) < FEWEST_TRIPLES:
        return None
    lowest = [EMPTY] * BINS
    for triple in triples:
        mixed = crc32(triple.encode()) * MIX & 0xFFFFFFFF
        place, value = mixed >> 27, mixed & 0x7FFFFFF
        if value < lowest[place]:
            lowest[place] = value
    for place in range(BINS):
        if lowest[place] == EMPTY:
            lowest[place] = next(
                lowest[(place + step) % BINS]
                for step in range(1, BINS)
                if lowest[(place + step) % BINS] != EMPTY
            )
    return array("H", [value & 0xFFFF for value in lowest])


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
