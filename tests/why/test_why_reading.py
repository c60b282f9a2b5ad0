"""A log as it comes: any encoding, prefix and length; the lines that matter are kept, with their numbers."""

import codecs
import json

import pytest

from envdoc.doctor.why import why
from envdoc.doctor.why.prefixes import bare, unpacked
from envdoc.doctor.why.reading import MOST_SHAPES, TAIL_LINES, read_log

ERROR = "ValueError: Attempting to unscale FP16 gradients."


def texts(log):
    return [line.text for line in read_log(log).lines]


@pytest.mark.parametrize(
    "line",
    [
        f"[rank0]: {ERROR}",
        f"0: {ERROR}",
        f"[1,0]<stderr>:{ERROR}",
        f"[default3]:{ERROR}",
        f"worker-1: {ERROR}",
        f"(TrainWorker pid=812, ip=10.0.0.7) {ERROR}",
        f"(EngineCore_0 pid=91) ERROR 11-24 10:11:12 [core.py:700] {ERROR}",
        f"2026-11-24 10:11:12,123 - trainer - ERROR - {ERROR}",
        f"2026-11-24T10:11:12.123456789Z {ERROR}",
        f"2026-11-24T10:11:12.123456789Z stderr F {ERROR}",
        f"[2026-11-24 10:11:12,123] [ERROR] [launch.py:12:main] {ERROR}",
        f"2026-11-24 10:11:12.123 | ERROR    | app.train:main:12 - {ERROR}",
        f"E1124 10:11:12.123000 140 torch/elastic/api.py:882] {ERROR}",
        f"Nov 24 10:11:12 gpu1 train[99]: {ERROR}",
        f"trainer-1  | {ERROR}",
        f"[pod/train-0/main] 2026-11-24T10:11:12Z [rank1]: {ERROR}",
        f"E   {ERROR}",
        f"> {ERROR}",
        f"##[error]{ERROR}",
        f" 12%|\u2588\u258c        | 12/100 [00:10<01:00,  1.2it/s]{ERROR}",
        f"\u2502 {ERROR}      \u2502",
        f"\x1b[0;31mValueError\x1b[0m: {ERROR[12:]}",
        f"[0;31mValueError[0m: {ERROR[12:]}",
        json.dumps({"log": ERROR + "\n", "stream": "stderr", "time": "2026-11-24T10:11:12Z"}),
        json.dumps("\x1b[0;31mValueError\x1b[0m: " + ERROR[12:]) + ",",
        f"10:11:12 {ERROR}",
    ],
)
def test_what_stands_before_a_line_is_taken_off(line):
    """Launchers, loggers, containers, terminals and notebooks: the same words are left."""
    assert [ERROR] == texts(line + "\n")


@pytest.mark.parametrize(
    ("line", "rank"), [("[rank3]: x", "3"), ("2: hello", "2"), ("(Worker pid=7) x", "7"), ("plain", "")]
)
def test_the_process_is_kept(line, rank):
    """Interleaved processes are told apart."""
    assert rank == bare(line).rank


@pytest.mark.parametrize(
    "line", ["Error: 12: no", "{'loss': 1.0}", "    0: deeper", "torch 2.6.0", "a -> b", "3 | x", "E: apt"]
)
def test_an_ordinary_line_stays(line):
    """What only looks a little like a prefix is left alone."""
    assert line == bare(line).text


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "cp936"]
)
def test_encodings(encoding):
    """PowerShell's UTF-16, a byte order mark, and the code page of Chinese consoles."""
    log = f"\u8bad\u7ec3\u5931\u8d25\r\n{ERROR}\r\n".encode(encoding)
    assert ["\u8bad\u7ec3\u5931\u8d25", ERROR] == texts(log)
    assert "fp16-unscale" == why(log)[0].code


def test_blocks_may_be_cut_anywhere():
    """A pipe gives what it has: in the middle of a line, a character or a line's end."""
    log = f"a\r\n\u8bad\u7ec3 1\r{ERROR}\r\nend".encode()
    for size in range(1, len(log)):
        blocks = [log[start : start + size] for start in range(0, len(log), size)]
        assert ["a", "\u8bad\u7ec3 1", ERROR, "end"] == texts(blocks), size
    assert ["x", "\u8bad"] == texts([codecs.BOM_UTF16_LE + b"x", b"\x00\n", b"\x00\xad", b"\x8b"])


def test_a_carriage_return_starts_a_line_anew():
    """Each state of a progress bar is a line, and the number of a line counts them."""
    assert [(1, "1"), (2, "2"), (3, "done")] == [(n, text) for n, text, *_ in read_log("1\r2\rdone\n").lines]


def test_lines_that_differ_in_digits_are_kept_once_before_the_tail():
    """The first of each shape and every line of the end."""
    count = 10 * TAIL_LINES
    log = ERROR + "\n" + "".join(f"step {number:06d}\n" for number in range(count))
    reading = read_log(log)
    assert count + 1 == reading.line_count
    assert TAIL_LINES + 2 == len(reading.lines)
    assert [1, 2] == [line.number for line in reading.lines[:2]]
    assert count + 1 == reading.lines[-1].number


def test_more_shapes_than_are_kept():
    """A log of nothing but different lines is cut in its middle; errors there are kept."""

    def words(number):
        return "".join(chr(97 + int(digit)) for digit in f"{number:06d}")

    log = "\n".join(
        words(n) if n != 3 * MOST_SHAPES else "RuntimeError: here" for n in range(4 * MOST_SHAPES)
    )
    kept = texts(log.encode())
    assert "RuntimeError: here" in kept
    assert MOST_SHAPES + TAIL_LINES + 1 == len(kept)


def test_a_long_line_keeps_its_ends():
    """Its middle goes, so that no pattern meets more than a few thousand characters."""
    (line,) = texts("begin" + "x" * 1_500_000 + "end")
    assert line.startswith("begin")
    assert line.endswith("end")
    assert 3_000 > len(line)


def test_written_out_line_ends_are_line_ends():
    """A traceback in one string of a logger is read as lines."""
    line = "'Traceback (most recent call last):\\n  File \"a.py\", line 1\\nKeyError: 1'"
    assert ["'Traceback (most recent call last):", '  File "a.py", line 1', "KeyError: 1'"] == unpacked(line)


@pytest.mark.parametrize("log", ["", b"", [], "\n", b"\xff\xfe", b"\x00" * 100, "{" * 5000, '"' * 5000])
def test_nothing_to_read(log):
    """No log, or none that is one, is no failure."""
    assert () == why(log)
