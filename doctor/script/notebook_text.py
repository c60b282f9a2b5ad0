"""A notebook's file with other code in some cells and every other byte as it was."""

import json
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from envdoc.doctor.script.reader import Source, cell_source, lines_of, notebook_cells, without_magics

_BLANKS = " \t\r\n"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class _Value:
    """Where a JSON value stands in the file's text."""

    start: int
    end: int


def changed_cells(source: Source, text: str) -> Dict[int, Tuple[str, str]]:
    """Cell number -> (its code before, its code after), for the cells whose part of the joined text changed.

    The joined text has statements that do nothing in place of magics: what was a magic is put back. Raises ValueError
    where the text no longer divides into the same cells.
    """
    changed: Dict[int, Tuple[str, str]] = {}
    cells = notebook_cells(source.path, source.raw)
    old_lines = lines_of(source.text)
    marks = _matching_ends(old_lines, lines_of(text), [cell.first - 1 + cell.lines for cell in source.cells])
    begin = 0
    new_lines = lines_of(text)
    for cell, end in zip(source.cells, marks):
        code = cell_source(cells[cell.number - 1]) or ""
        old = old_lines[cell.first - 1 : cell.first - 1 + cell.lines]
        new = new_lines[begin:end]
        begin = end
        if new == old:
            continue
        changed[cell.number] = (code, _with_magics(code, old, new))
    return changed


def _matching_ends(old: List[str], new: List[str], ends: List[int]) -> List[int]:
    """Where in the new lines each cell ends: `ends` are its last lines in the old ones."""
    import difflib

    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    found = []
    for end in ends:
        place = None
        for _, a1, a2, b1, b2 in blocks:
            if a1 < end <= a2:
                place = b2 - (a2 - end) if b2 - b1 == a2 - a1 or end != a2 else b2
        if place is None:
            if end:
                raise ValueError("the cells cannot be told apart any more")
            place = 0
        found.append(place)
    return found


def _with_magics(code: str, old: List[str], new: List[str]) -> str:
    """The new lines with the cell's own lines in place of those that only stood for a magic."""
    import difflib

    original = lines_of(code)
    made: List[str] = []
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        made += original[a1:a2] if tag == "equal" else new[b1:b2]
    told = "".join(made)
    if not code.endswith("\n") and told.endswith("\n"):
        told = told[:-1]
    if without_magics(code).rstrip("\n") == "".join(old).rstrip("\n"):
        return told
    raise ValueError("a cell is not what was read")


def spliced(raw: bytes, changed: Dict[int, str]) -> bytes:
    """The file with the `source` of those cells replaced. Raises ValueError where it has another shape."""
    text = raw.decode("utf-8")
    places = _sources(text)
    for number in sorted(changed, reverse=True):
        place = places.get(number)
        if place is None:
            raise ValueError(f"the source of cell {number} was not found")
        text = (
            text[: place.start] + _written(text[place.start : place.end], changed[number]) + text[place.end :]
        )
    return text.encode("utf-8")


def _sources(text: str) -> Dict[int, _Value]:
    """Cell number -> where its `source` stands."""
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    cells = _members(text, start).get("cells")
    if cells is None:
        raise ValueError("only notebooks of format 4 are edited")
    found: Dict[int, _Value] = {}
    for number, item in enumerate(_items(text, cells.start), 1):
        if text[item.start] == "{":
            source = _members(text, item.start).get("source")
            if source is not None:
                found[number] = source
    return found


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


def _members(text: str, start: int) -> Dict[str, _Value]:
    """The members of the object that begins there."""
    if text[start : start + 1] != "{":
        raise ValueError("an object was expected")
    found: Dict[str, _Value] = {}
    position = _skip(text, start + 1)
    while text[position] != "}":
        name, position = _DECODER.raw_decode(text, position)
        position = _skip(text, _skip(text, position) + 1)  # the colon
        _, end = _DECODER.raw_decode(text, position)
        found[name] = _Value(position, end)
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _items(text: str, start: int) -> List[_Value]:
    """The items of the list that begins there."""
    if text[start] != "[":
        raise ValueError("a list was expected")
    found: List[_Value] = []
    position = _skip(text, start + 1)
    while text[position] != "]":
        _, end = _DECODER.raw_decode(text, position)
        found.append(_Value(position, end))
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _written(old: str, code: str) -> str:
    """The code as JSON in the form that the cell had: a text, or a list of lines with the same blanks between them."""
    is_ascii = old.isascii() and "\\u" in old
    if not old.startswith("["):
        return json.dumps(code, ensure_ascii=is_ascii)
    items = _items(old, 0)
    lines = lines_of(code)
    before = {json.loads(old[item.start : item.end]): old[item.start : item.end] for item in items}
    head = old[: items[0].start] if items else "["
    tail = old[items[-1].end :] if items else "]"
    between: Optional[str] = old[items[0].end : items[1].start] if len(items) > 1 else None
    if between is None:
        between = "," + head[1:] if head[1:] else ", "
    written = [before.get(line) or json.dumps(line, ensure_ascii=is_ascii) for line in lines]
    return head + between.join(written) + tail
