"""Edits of a text by exact positions: where a node stands, and how an argument, a line or a name is changed there."""

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from typing import Iterable, List, Optional, Tuple

from envdoc.doctor.script.reader import lines_of


@dataclass(frozen=True)
class Edit:
    """`text[start:end]` becomes `new`; positions count characters of the joined text."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Repair:
    """One fault's edits, which belong together, and what they do in a few words."""

    check: str
    line: int
    says: str
    edits: Tuple[Edit, ...]


class Text:
    """A text with the positions of its lines. The parser counts columns in bytes of UTF-8; here they are characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = lines_of(text)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def at(self, line: int, column_bytes: int) -> int:
        """The position of a line (from 1) and a column (in bytes, from 0)."""
        head = self.lines[line - 1].encode("utf-8")[:column_bytes]
        return self.starts[line - 1] + len(head.decode("utf-8", "replace"))

    def span(self, node: ast.AST) -> Tuple[int, int]:
        """Where the node begins and ends."""
        end_line, end_column = getattr(node, "end_lineno", None), getattr(node, "end_col_offset", None)
        assert isinstance(node, (ast.expr, ast.stmt, ast.arg, ast.alias)) and end_line is not None
        return self.at(node.lineno, node.col_offset), self.at(end_line, end_column or 0)

    def source(self, node: ast.AST) -> str:
        """The node as it is written."""
        start, end = self.span(node)
        return self.text[start:end]

    def keyword_name(self, value: ast.AST, name: str) -> Optional[Edit]:
        """The place of `name` in `name=value`, to be filled; None where something else stands there."""
        start, _ = self.span(value)
        before = re.search(rf"(?<![\w.])({re.escape(name)})\s*=\s*$", self.text[:start][-400:])
        if before is None:
            return None
        first = start - len(self.text[:start][-400:]) + before.start(1)
        return Edit(first, first + len(name), "")

    def with_keyword(self, call: ast.Call, keyword: str) -> Optional[Edit]:
        """`keyword` put behind the last argument of the call, before its closing parenthesis."""
        start, end = self.span(call)
        tokens = _tokens(self.text[start:end])
        if len(tokens) < 3 or tokens[-1].string != ")":
            return None
        last = tokens[-2]
        segment = Text(self.text[start:end])
        place = start + segment.starts[last.end[0] - 1] + last.end[1]
        opener = "" if last.string == "(" else (" " if last.string == "," else ", ")
        return Edit(place, place, opener + keyword)

    def names_in(self, node: ast.AST, name: str) -> List[Edit]:
        """Every token of that name in the node, to be filled."""
        start, end = self.span(node)
        segment = Text(self.text[start:end])
        found = []
        for token in _tokens(self.text[start:end]):
            if token.type == tokenize.NAME and token.string == name:
                first = start + segment.starts[token.start[0] - 1] + token.start[1]
                found.append(Edit(first, first + len(name), ""))
        return found

    def indent_of(self, node: ast.AST) -> str:
        """The blanks before a statement; a statement that shares its line with another has none of its own."""
        start, _ = self.span(node)
        line_start = self.starts[getattr(node, "lineno", 1) - 1]
        return self.text[line_start:start]

    def line_before(self, statement: ast.stmt, new: str) -> Optional[Edit]:
        """A line of its own before the statement, with its indentation; None where it shares its line."""
        indent = self.indent_of(statement)
        if indent.strip():
            return None
        position = self.starts[statement.lineno - 1]
        return Edit(position, position, indent + new + self.newline)

    def without(self, statement: ast.stmt, is_alone: bool) -> Optional[Edit]:
        """The statement's lines taken out; `pass` where it was alone in its block; None where it shares a line."""
        start, end = self.span(statement)
        end_line = getattr(statement, "end_lineno", statement.lineno) or statement.lineno
        rest = self.text[end : self.starts[end_line]]
        if self.indent_of(statement).strip() or (rest.strip() and not rest.strip().startswith("#")):
            return None
        if is_alone:
            return Edit(start, end, "pass")
        return Edit(self.starts[statement.lineno - 1], self.starts[end_line], "")


def _tokens(segment: str) -> List[tokenize.TokenInfo]:
    """The tokens that count: no comments, no line ends."""
    kinds = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.ENDMARKER,
        tokenize.INDENT,
        tokenize.DEDENT,
    )
    try:
        found = list(tokenize.generate_tokens(io.StringIO(segment, newline="").readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    return [token for token in found if token.type not in kinds]


def applied(text: str, edits: Iterable[Edit]) -> Optional[str]:
    """The text with all edits, or None where two of them overlap."""
    made: List[str] = []
    position = 0
    for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            return None
        made += [text[position : edit.start], edit.new]
        position = edit.end
    return "".join([*made, text[position:]])
