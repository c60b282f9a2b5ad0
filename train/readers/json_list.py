"""JSON: a list of rows, or an object whose `data` is one, read element by element; JSON Lines under this name, too."""

import codecs
import json
from pathlib import Path
from typing import IO, Any, Iterator

from envdoc.train.errors import DataError
from envdoc.train.readers import RawRow, json_lines
from envdoc.train.readers.json_lines import UTF16_MARKS, opened, without_doubles

BLOCK_BYTES = 1 << 16
BLANK = " \t\r\n"


def read(path: Path) -> Iterator[RawRow]:
    """Rows by their place from 1. Raises DataError, with the line, where the file is not JSON of that form."""
    with opened(path) as stream:
        text = _Text(stream, path)
        start = text.peek()
        if start == "{" and not _enters_data(text):
            if text.peek() != "{":
                raise DataError(f"`{path}` must hold a list of rows, and holds a dict.")
            yield from json_lines.read(
                path
            )  # `Dataset.to_json` writes JSON Lines whatever the file is called
            return
        if not start:
            raise DataError(f"The data file `{path}` holds no row.")
        if start not in ("{", "["):
            raise DataError(f"`{path}` must hold a list of rows, and holds a {type(text.value()).__name__}.")
        yield from enumerate(_elements(text), 1)
        if start == "[" and text.peek():
            raise text.not_json("text after the end of the list")


def _enters_data(text: "_Text") -> bool:
    """Whether the object has a list under `data`; then reading stands at it, else behind the object."""
    text.take("{")
    while text.peek() == '"':
        key = text.value()
        text.take(":")
        if key == "data" and text.peek() == "[":
            return True
        text.value()
        if text.peek() == ",":
            text.take(",")
    text.take("}")
    return False


def _elements(text: "_Text") -> Iterator[Any]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.peek() != ",":
            text.take("]")
            return
        text.take(",")


class _Text:
    """The text of the file from where reading stands; more of it is read when a value is not whole yet."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self.stream, self.path = stream, path
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.scan = json.JSONDecoder(object_pairs_hook=without_doubles).raw_decode
        self.text, self.at, self.lines_before, self.ended = "", 0, 0, False

    def more(self, count: int = BLOCK_BYTES) -> None:
        """Drop what is done with, and append up to `count` bytes."""
        self.lines_before += self.text.count("\n", 0, self.at)
        block = self.stream.read(count)
        try:
            self.text, self.at = self.text[self.at :] + self.decode(block, not block), 0
        except UnicodeDecodeError as error:
            if block.startswith(UTF16_MARKS):
                raise DataError(f"`{self.path}` is UTF-16 text.", "Save the file as UTF-8.") from None
            line = self.lines_before + self.text.count("\n") + error.object[: error.start].count(b"\n") + 1
            raise DataError(
                f"`{self.path}`, line {line}, is not UTF-8 text.", "Save the file as UTF-8."
            ) from None
        self.ended = not block

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in BLANK:
                self.at += 1
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more()

    def take(self, expected: str) -> None:
        """Pass over that character."""
        if self.peek() != expected:
            raise self.not_json(f"expected `{expected}`" + ("" if self.peek() else ", and the file ends"))
        self.at += 1

    def value(self) -> Any:
        """The value that begins here."""
        self.peek()
        count = BLOCK_BYTES
        while True:
            try:
                value, end = self.scan(self.text, self.at)
                if end < len(self.text) or self.ended:  # else a number may go on in the next block
                    self.at = end
                    return value
            except ValueError as error:  # JSONDecodeError; and a number of more digits than Python converts
                if self.ended:
                    self.at = getattr(error, "pos", self.at)
                    raise self.not_json(getattr(error, "msg", str(error))) from None
            except RecursionError:
                raise self.not_json("nested too deeply to be read") from None
            self.more(count)
            count *= 2  # so that a value of n bytes is scanned log n times

    def not_json(self, problem: str) -> DataError:
        """The error, with the line where reading stands."""
        line = self.lines_before + self.text.count("\n", 0, self.at) + 1
        return DataError(
            f"`{self.path}` is not JSON: line {line}: {problem}.", "JSON Lines files end in .jsonl."
        )
