"""A log of any length as the few lines that can matter, in one pass and in bounded memory.

Lines that differ in their digits alone (a progress bar's, a loss's) have one shape; the first of each shape is kept,
and of the last lines every one. Where a log has more shapes than are kept, only lines with a word of alarm are added.
50 MB of ordinary training output have some thousands of shapes.
"""

import re
from collections import deque
from typing import Deque, Dict, Iterable, Iterator, List, NamedTuple, Set, Tuple, Union

from envdoc.doctor.why.decoding import as_utf8, line_text
from envdoc.doctor.why.prefixes import bare, unpacked

BLOCK_BYTES = 1 << 20
MOST_SHAPES = 8_000
MOST_ALARMS = 4_000  # lines added after those
TAIL_LINES = 1_500
HEAD_CHARACTERS, TAIL_CHARACTERS = 1_600, 800  # kept of a long line

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_ESCAPES = re.compile(
    rb"\x1b\[[0-?]{0,40}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b\n]{0,2048}(?:\x07|\x1b\\)|\x1b[()][0-9A-B]"
    rb"|\x1b[@-Z\\^_=>78]"
)
_WRITTEN_ESCAPES = re.compile(r"(?:\\u001b|\\x1b|\\033|\u241b)?\[\d{1,3}(?:;\d{1,3}){0,5}m")
# Looked for one by one: bytes.find is ten times as fast as one pattern for them all.
_WORDS_OF_ALARM = (
    b"rror: ",
    b"Error",
    b"ERROR",
    b"arning",
    b"WARN",
    b"Exception",
    b"Traceback",
    b"ailed",
    b"CUDA",
)


class Line(NamedTuple):
    """One line that was kept: its number in the log (1 is the first), its text without prefixes, its process."""

    number: int
    text: str
    rank: str = ""
    is_error: bool = False  # a logger called it an error


class Reading(NamedTuple):
    """What was kept of a log."""

    lines: Tuple[Line, ...]
    line_count: int


def read_log(log: Union[str, bytes, Iterable[bytes]]) -> Reading:
    """The lines of a text, or of blocks of bytes in any encoding and of any size."""
    kept, count = _kept(as_utf8(_blocks(log)))
    lines: List[Line] = []
    for number, raw in kept:
        text = _WRITTEN_ESCAPES.sub("", line_text(raw)) if b"m" in raw and b"[" in raw else line_text(raw)
        for inner in unpacked(text):
            without = bare(inner.rstrip())
            if b"\\u001b" in raw or "\x1b" in inner:
                without = without._replace(text=_WRITTEN_ESCAPES.sub("", without.text.replace("\x1b", "")))
            lines.append(Line(number, *without))
    return Reading(tuple(lines), count)


def _blocks(log: Union[str, bytes, Iterable[bytes]]) -> Iterator[bytes]:
    if isinstance(log, str):
        log = log.encode("utf-8", "replace")
    if isinstance(log, bytes):
        yield from (log[start : start + BLOCK_BYTES] for start in range(0, len(log), BLOCK_BYTES))
    else:
        yield from log


def _kept(blocks: Iterable[bytes]) -> Tuple[List[Tuple[int, bytes]], int]:
    """Number and bytes of the lines that are kept, in order, and how many lines there were."""
    first: Dict[int, bytes] = {}
    seen: Set[bytes] = set()
    tail: Deque[Tuple[int, bytes]] = deque(maxlen=TAIL_LINES)
    count = alarms = 0
    for block in _clean_blocks(blocks):
        shapes = block.translate(_DIGITS).split(b"\n")
        if len(seen) < MOST_SHAPES:
            fresh = set(shapes).difference(seen)
            if fresh:
                _add_fresh(fresh, shapes, block, count, first, seen)
        if len(seen) >= MOST_SHAPES and alarms < MOST_ALARMS:
            for place, line in _alarms(block):
                shape = line.translate(_DIGITS)
                if alarms < MOST_ALARMS and shape not in seen:
                    seen.add(shape)
                    first[count + place + 1] = line
                    alarms += 1
        last = block.rsplit(b"\n", TAIL_LINES)[-min(TAIL_LINES, len(shapes)) :]
        end = count + len(shapes)
        tail.extend((end - len(last) + place + 1, line) for place, line in enumerate(last))
        count = end
    first.update(tail)
    return sorted(first.items()), count


def _add_fresh(
    fresh: Set[bytes],
    shapes: List[bytes],
    block: bytes,
    count: int,
    first: Dict[int, bytes],
    seen: Set[bytes],
) -> None:
    """The first line of each shape that was not seen before, until there are enough."""
    lines = block.split(b"\n")
    places = dict(zip(reversed(shapes), range(len(shapes) - 1, -1, -1)))
    for place in sorted(places[shape] for shape in fresh)[: MOST_SHAPES - len(seen)]:
        seen.add(shapes[place])
        first[count + place + 1] = lines[place]


def _alarms(block: bytes) -> Iterator[Tuple[int, bytes]]:
    """Place and bytes of the lines of a block with a word of alarm, in order."""
    starts: Dict[int, int] = {}
    for word in _WORDS_OF_ALARM:
        at = block.find(word)
        while at >= 0 and len(starts) < MOST_ALARMS:
            end = block.find(b"\n", at)
            end = end if end >= 0 else len(block)
            starts[block.rfind(b"\n", 0, at) + 1] = end
            at = block.find(word, end)
    place = counted = 0
    for start, end in sorted(starts.items()):
        place += block.count(b"\n", counted, start)
        counted = start
        yield place, block[start:end]


def _clean_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines, without escapes; carriage returns end a line too; the middle of long lines is left out."""
    rest = b""
    for block in blocks:
        block = rest + block
        end = (
            max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        )  # a last \r may have its \n in the next block
        if not end and len(block) < 2 * BLOCK_BYTES:
            rest = block
            continue
        end = end or len(block)
        block, rest = block[:end], block[end:]
        yield _clean(block)
    if rest:
        yield _clean(rest)


def _clean(block: bytes) -> bytes:
    if b"\x1b" in block:
        block = _ESCAPES.sub(b"", block)
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if block.endswith(b"\n"):
        block = block[:-1]
    longest = HEAD_CHARACTERS + TAIL_CHARACTERS
    lines = block.split(b"\n")
    if max(map(len, lines)) <= longest:
        return block
    return b"\n".join(
        line if len(line) <= longest else line[:HEAD_CHARACTERS] + b" ... " + line[-TAIL_CHARACTERS:]
        for line in lines
    )
