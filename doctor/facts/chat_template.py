"""A chat template's syntax, where it is certain without Jinja: tags that end, blocks closed in their order.

What opens and closes is Jinja's own (pallets/jinja, src/jinja2/parser.py), and `generation` of transformers.
"""

import re
from typing import List, Tuple

_OPENS = {"{%": "%}", "{{": "}}", "{#": "#}"}
_BLOCKS = {
    "if",
    "for",
    "macro",
    "call",
    "filter",
    "block",
    "raw",
    "with",
    "autoescape",
    "trans",
    "generation",
}
_INSIDE = {"elif": ("if",), "else": ("if", "for")}


def template_faults(text: str) -> Tuple[str, ...]:
    """What Jinja would refuse, at most one fault; nothing where that is not certain."""
    open_blocks: List[str] = []
    place = 0
    while True:
        match = re.compile(r"\{[%{#]").search(text, place)
        if match is None:
            break
        end = _end(text, match.end(), _OPENS[match.group()])
        line = text.count("\n", 0, match.start()) + 1
        if end < 0:
            return (f"the {match.group()} on line {line} is not closed",)
        if match.group() == "{%":
            inner = text[match.end() : end].strip("-+ \t\r\n")
            word = re.match(r"[a-z]+", inner)
            name = word.group() if word else ""
            if name == "raw":
                close = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}").search(text, end)
                if close is None:
                    return (f"the raw block on line {line} is not closed",)
                place = close.end()
                continue
            fault = _block(name, inner, open_blocks)
            if fault:
                return (f"{fault} on line {line}",)
        place = end + 2
    return (f"the block `{open_blocks[-1]}` is not closed",) if open_blocks else ()


def _block(name: str, inner: str, open_blocks: List[str]) -> str:
    """Opens, closes or passes; a fault as text."""
    if name in _BLOCKS or (name == "set" and _is_block_set(inner)):
        open_blocks.append(name)
    elif name.startswith("end"):
        wanted = name[3:]
        if not open_blocks or open_blocks[-1] != wanted:
            return (
                f"`{name}` closes nothing"
                if not open_blocks
                else f"`{name}` stands where `end{open_blocks[-1]}` should"
            )
        open_blocks.pop()
    elif name in _INSIDE and (not open_blocks or open_blocks[-1] not in _INSIDE[name]):
        return f"`{name}` stands outside of an `if`"
    return ""


def _is_block_set(inner: str) -> bool:
    """`{% set x %}...{% endset %}` has no `=` outside of what a filter is given."""
    return "=" not in re.sub(r"\(.*?\)", "", inner)


def _end(text: str, place: int, close: str) -> int:
    """Where the tag ends; a closing sign inside a quoted text is none, but in a comment."""
    if close == "#}":
        return text.find(close, place)
    quote = ""
    while place < len(text):
        sign = text[place]
        if quote:
            if sign == "\\":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in "'\"":
            quote = sign
        elif text.startswith(close, place) and not (close == "}}" and _inside_braces(text, place)):
            return place
        place += 1
    return -1


def _inside_braces(text: str, place: int) -> bool:
    """`{{ {'a': {}}}}`: the first two braces of four close a dictionary of the expression."""
    start = text.rfind("{{", 0, place)
    inner = re.sub(r"'[^'\\]*(?:\\.[^'\\]*)*'|\"[^\"\\]*(?:\\.[^\"\\]*)*\"", "", text[start + 2 : place])
    return inner.count("{") > inner.count("}")
