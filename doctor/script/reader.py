"""A script or a notebook as text and syntax tree. A notebook's code cells are joined, its magics taken out."""

import ast
import io
import json
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.files import read_bytes

MOST_SCRIPT_BYTES = 4 << 20
MOST_NOTEBOOK_BYTES = 256 << 20  # its pictures are in it
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_MAGIC = re.compile(r"^(\s*)([!%?].*|[\w.]+\?{1,2}\s*)$")
_MAGIC_VALUE = re.compile(r"^(\s*[\w, ]+=\s*)([!%])(?!=)")
# Magics whose cell is Python all the same; the text of every other one is something else.
_PYTHON_CELL = ("time", "timeit", "capture", "prun", "debug")
# What only Python 2 has: a print or exec statement, `except X, e`, backticks, `<>`, `raise X, "text"`, 0777.
_PYTHON_2 = re.compile(
    r"^\s*(?:print\s+(?![=(.\[+\-*/%&|<>,)])\S|print\s*>>|exec\s+[\"']|except\s+[\w.]+\s*,\s*\w+\s*:|raise\s+\w+\s*,\s*[\"'])",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Cell:
    """A code cell: its number in the notebook, counted from 1, and its first line in the joined text, from 1."""

    number: int
    first: int
    lines: int


@dataclass(frozen=True)
class Source:
    """The text of a script or of all code cells of a notebook. `raw` are the file's own bytes."""

    path: str
    text: str
    raw: bytes
    encoding: str = "utf-8"
    cells: Tuple[Cell, ...] = ()
    is_notebook: bool = False

    def place(self, line: int) -> Tuple[int, int]:
        """A line of the text as (cell, line in it); the cell is 0 in a script."""
        for cell in self.cells:
            if cell.first <= line < cell.first + cell.lines:
                return cell.number, line - cell.first + 1
        return 0, line


@dataclass(frozen=True)
class Unreadable:
    """Why there is no syntax tree: one sentence, and where. `line` counts in the joined text."""

    reason: str
    line: int = 0


def lines_of(text: str) -> List[str]:
    """The lines with their ends, as the parser counts them: a form feed or U+2028 ends none."""
    return _LINE.findall(text)


def read_source(path: Path) -> Source:
    """The file's text. Raises EnvdocError where there is no such file, or a notebook is none."""
    is_notebook = path.suffix == ".ipynb"
    try:
        raw = read_bytes(path, MOST_NOTEBOOK_BYTES if is_notebook else MOST_SCRIPT_BYTES)
    except OSError as error:
        raise EnvdocError(
            f"The script `{path}` cannot be read: {error.strerror or error}.",
            "Name a .py file or a notebook (.ipynb); the option may be repeated.",
        ) from error
    if is_notebook:
        text, cells = _joined(path, raw)
        return Source(str(path), text, raw, "utf-8", cells, True)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        encoding, text = "latin-1", raw.decode("latin-1")
    return Source(str(path), text, raw, encoding)


def parse(source: Source) -> "Tuple[Optional[ast.Module], Optional[Unreadable]]":
    """The syntax tree, or why there is none: exactly one of the two."""
    try:
        return ast.parse(source.text), None
    except SyntaxError as error:
        line = error.lineno or 0
        if _PYTHON_2.search(source.text):
            return None, Unreadable("it is written for Python 2", line)
        said = (error.msg or "invalid syntax").rstrip(".")
        return None, Unreadable(f"the parser says: {said}", line)
    except ValueError:
        return None, Unreadable("it holds a NUL byte and is no text")
    except (RecursionError, MemoryError):
        return None, Unreadable("it is nested too deeply for the parser")


def notebook_cells(path: str, raw: bytes) -> List[Any]:
    """The cells of a notebook as JSON has them (format 4, or the worksheets of 3). Raises EnvdocError."""
    try:
        document = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EnvdocError(f"The notebook `{path}` is no JSON: {error}.") from error
    if not isinstance(document, dict):
        raise EnvdocError(f"The notebook `{path}` is JSON, but no notebook.")
    cells = document.get("cells")
    if not isinstance(cells, list):
        sheets = document.get("worksheets")
        first = sheets[0] if isinstance(sheets, list) and sheets else None
        cells = first.get("cells") if isinstance(first, dict) else None
    if not isinstance(cells, list):
        raise EnvdocError(f"The notebook `{path}` has no cells.")
    return cells


def cell_source(cell: Any) -> Optional[str]:
    """The code of a cell, or None for any other kind of cell."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return None
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _joined(path: Path, raw: bytes) -> Tuple[str, Tuple[Cell, ...]]:
    parts: List[str] = []
    cells: List[Cell] = []
    first = 1
    for number, cell in enumerate(notebook_cells(str(path), raw), 1):
        code = cell_source(cell)
        if code is None:
            continue
        lines = lines_of(without_magics(code))
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += "\n"
        cells.append(Cell(number, first, len(lines)))
        parts += lines
        first += len(lines)
    return "".join(parts), tuple(cells)


def without_magics(code: str) -> str:
    """The code with `%magic`, `!command`, `name = !command` and `name?` as statements that do nothing.

    Every other line keeps its number and its columns.
    """
    lines = lines_of(code)
    head = next((line.strip() for line in lines if line.strip()), "")
    if head.startswith("%%") and head[2:].split(" ")[0].strip() not in _PYTHON_CELL:
        return "".join("#" + line for line in lines)
    made: List[str] = []
    continues = False
    in_string = _lines_inside_strings(code)
    for number, line in enumerate(lines, 1):
        body = line.rstrip("\r\n")
        end = line[len(body) :]
        if continues:
            continues = body.endswith("\\")
            made.append("#" + line)
            continue
        magic = None if number in in_string else _MAGIC.match(body)
        value = None if number in in_string else _MAGIC_VALUE.match(body)
        if magic:
            made.append(f"{magic.group(1)}pass{end}")
            continues = body.endswith("\\")
        elif value:
            made.append(f"{value.group(1)}None{end}")
            continues = body.endswith("\\")
        else:
            made.append(line)
    return "".join(made)


def _lines_inside_strings(code: str) -> "set[int]":
    """The lines that lie within a string of several lines, where `%` and `!` mean nothing, roughly: by its quotes."""
    inside: set[int] = set()
    quote = ""
    for number, line in enumerate(lines_of(code), 1):
        if quote:
            inside.add(number)
        position = 0
        while position < len(line):
            if quote:
                end = line.find(quote, position)
                if end < 0:
                    break
                quote, position = "", end + 3
                continue
            if line[position] == "#":
                break
            three = line[position : position + 3]
            if three in ('"""', "'''"):
                quote, position = three, position + 3
            elif line[position] in "\"'":
                end = line.find(line[position], position + 1)
                position = len(line) if end < 0 else end + 1
            else:
                position += 1
    return inside
