"""CSV and TSV: RFC 4180 with a header, through the csv module; cells of lists hold JSON."""

import csv
import io
from pathlib import Path
from typing import Iterator, List

from envdoc.train.errors import DataError
from envdoc.train.readers import RawRow, Unreadable
from envdoc.train.readers.json_lines import opened

FIELD_LIMIT_CHARACTERS = (
    2**31 - 1
)  # the csv module's own is 131,072: a long answer, or a conversation in one cell
SEPARATORS = ",;\t"  # spreadsheets write `;` where the comma is the decimal sign
ESCAPED = "\udc80", "\udcff"  # what surrogateescape makes of bytes that are not UTF-8


def read(path: Path) -> Iterator[RawRow]:
    """Rows by their place from 1 below the header. Raises DataError where the header is of no use."""
    csv.field_size_limit(FIELD_LIMIT_CHARACTERS)
    with opened(path) as stream:
        # A bad byte must not end the reading: it stays in its cell as a lone surrogate, and that row is refused.
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        first = text.readline()
        if first.startswith(("\udcff\udcfe", "\udcfe\udcff")):
            raise DataError(f"`{path}` is UTF-16 text.", "Save the file as UTF-8.")
        separator = max(SEPARATORS, key=first.count)
        header = next(csv.reader([first], delimiter=separator, strict=True), [])
        _check(header, path)
        rows = csv.reader(text, delimiter=separator, strict=True)
        number = 0
        while True:
            line = rows.line_num + 2  # the header took one
            try:
                fields = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                yield number, _broken(str(error), line)
                continue
            if fields:  # else an empty line
                number += 1
                yield number, _row(header, fields, line)


def _row(header: List[str], fields: List[str], line: int) -> object:
    if len(fields) != len(header):
        return Unreadable(
            f"line {line}, has {len(fields)} fields, and the header names {len(header)}.",
            "A field that holds a separator, a quote or a line break stands in double quotes.",
        )
    if any(ESCAPED[0] <= character <= ESCAPED[1] for field in fields for character in _beyond_ascii(field)):
        return Unreadable(f"line {line}, is not UTF-8 text.", "Save the file as UTF-8.")
    return dict(zip(header, fields))


def _beyond_ascii(field: str) -> str:
    return "" if field.isascii() else field


def _broken(problem: str, line: int) -> Unreadable:
    if problem == "unexpected end of data":
        problem = "a quote that is opened is never closed"
    return Unreadable(
        f"line {line}, is not CSV: {problem}.", "A quote inside a quoted field is written twice."
    )


def _check(header: List[str], path: Path) -> None:
    if not any(name.strip() for name in header):
        raise DataError(f"`{path}` has no header.", "Its first line must name the columns.")
    doubles = sorted({name for name in header if header.count(name) > 1})
    if doubles:
        raise DataError(f"The header of `{path}` has the column `{doubles[0]}` twice.")
