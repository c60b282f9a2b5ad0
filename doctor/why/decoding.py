"""Bytes of a log as text: UTF-8, what PowerShell writes (UTF-16), and the code pages of Chinese and Western ones."""

import codecs
from typing import Iterable, Iterator

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 4096
_MANY_ZEROS = 0.3  # of every second byte: Latin text in UTF-16 has nearly all of them zero


def as_utf8(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same blocks, in UTF-8 where they are UTF-16; others as they are, without a byte order mark."""
    rest = iter(blocks)
    first = next(rest, b"")
    mark, encoding = _encoding(first)
    if not encoding.startswith("utf-16"):
        yield first[len(mark) :]
        yield from rest
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first[len(mark) :]).encode("utf-8", "replace")
    for block in rest:
        yield decoder.decode(block).encode("utf-8", "replace")


def _encoding(block: bytes) -> "tuple[bytes, str]":
    for mark, name in _BOMS:
        if block.startswith(mark):
            return mark, name
    sample = block[:_SAMPLE_BYTES]
    if len(sample) >= 8:
        even, odd = sample[0::2].count(0) / len(sample[0::2]), sample[1::2].count(0) / len(sample[1::2])
        if odd > _MANY_ZEROS and even < 0.05:
            return b"", "utf-16-le"
        if even > _MANY_ZEROS and odd < 0.05:
            return b"", "utf-16-be"
    return b"", ""


def line_text(line: bytes) -> str:
    """One line as text: UTF-8, else GB18030 (which holds GBK and code page 936) where it fits, else Windows-1252.

    Each line is judged by itself: a log that two programs wrote may be in two encodings.
    """
    for encoding in ("utf-8", "gb18030"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("cp1252", "replace")
