"""Rows that are equal: as they stand, after normalising, in the question alone. Eight bytes a row and comparison."""

import unicodedata
from array import array
from hashlib import blake2b
from itertools import groupby
from typing import Dict, Iterator, List, Sequence, Tuple

PART_ROWS = 1 << 18  # sorted at a time, so that sorting takes 20 MB more however many rows there are
# What is left out at the edges of words; inside them it stays: 1.5 is not 15, and 1-1 is not 11.
EDGES = ".,:;!?\"'()[]*_`…“”‘’"
WIDE = str.maketrans(
    "。、「」『』《》【】", " " * 10
)  # NFKC makes the other wide marks (，！？：；（）) narrow


def keys_of(messages: Sequence[Dict[str, str]]) -> Tuple[int, int, int]:
    """64-bit hashes of the whole row, of all but its last answer, and of the row without what does not matter."""
    digest = blake2b(digest_size=8)
    for message in messages[:-1]:
        digest.update(f"{message['role']}\0{message['content']}\0".encode())
    question = digest.digest()
    digest.update(messages[-1]["content"].encode())
    return _number(digest.digest()), _number(question), _normal_key(messages)


def normal(text: str) -> str:
    """The text without case, width, blanks and the punctuation around words."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(WIDE))
    return "".join(word.strip(EDGES) for word in text.casefold().split())


def groups(keys: "array[int]") -> Iterator[List[int]]:
    """Positions of equal keys, rising, wherever there are two or more."""
    parts = len(keys) // PART_ROWS + 1
    for part in range(parts):
        chosen = [position for position, key in enumerate(keys) if key % parts == part]
        chosen.sort(key=keys.__getitem__)
        for _, equal in groupby(chosen, key=keys.__getitem__):
            positions = list(equal)
            if len(positions) > 1:
                yield positions


def _normal_key(messages: Sequence[Dict[str, str]]) -> int:
    text = "\0".join(normal(message["content"]) for message in messages)
    return _number(blake2b(text.encode(), digest_size=8).digest())


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")
