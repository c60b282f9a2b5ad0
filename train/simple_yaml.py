"""Run files without PyYAML: `key: value` lines, one level of sections by indentation or in braces, lists in brackets.

That is all that a run file needs, and anything else is refused with its line: nothing is passed over. Used where an
estimate is wanted before there is a training environment; wherever PyYAML is, it reads.
"""

import json
import re
from pathlib import Path
from typing import Any, Dict

from envdoc.train.errors import ConfigError

_LINE = re.compile(r"^( *)([A-Za-z_][\w.]*) *:(?: +(.*?))? *$")
_WORDS = {
    "true": True,
    "false": False,
    "on": True,
    "off": False,
    "yes": True,
    "no": False,
    "null": None,
    "~": None,
}
_INTEGER = re.compile(r"[-+]?\d+$")
_NUMBER = re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?$")


def read(path: Path, text: str) -> Dict[str, Any]:
    """The keys and values. Raises ConfigError where the file says more than this reads."""
    found: Dict[str, Any] = {}
    section, indent = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = _without_comment(line)
        if not bare or bare == "---":
            continue
        match = _LINE.match(bare)
        if not match:
            raise _too_much(path, number)
        spaces, key, value = match.groups()
        if spaces and (not section or (indent and len(spaces) != indent)):
            raise _too_much(path, number)
        place = found[section] if spaces else found
        if key in place:
            raise ConfigError(f"`{path}`, line {number}: the key `{key}` is there twice.")
        if not value and not spaces:
            section, indent = key, 0
            place[key] = {}
            continue
        if spaces:
            indent = len(spaces)
        else:
            section = ""
        place[key] = _value(path, number, value or "null")
    return {key: value if value != {} else None for key, value in found.items()}


def _without_comment(line: str) -> str:
    """A `#` begins a comment at the line's start and after a space, but not between quotes."""
    quote = ""
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'" and line[place - 1 : place] in ("", " ", "[", "{", ","):
            quote = sign
        elif sign == "#" and (place == 0 or line[place - 1] in " \t"):
            return line[:place].rstrip()
    return line.rstrip()


def _value(path: Path, number: int, text: str) -> Any:
    if text[0] in "\"'":
        if len(text) < 2 or text[-1] != text[0] or text[0] in text[1:-1] or "\\" in text:
            raise _too_much(path, number)
        return text[1:-1]
    if text[0] in "[{":
        if text[-1] != {"[": "]", "{": "}"}[text[0]] or any(sign in text[1:-1] for sign in "[]{}\"'"):
            return _json(path, number, text)
        parts = [part.strip() for part in text[1:-1].split(",") if part.strip()]
        if text[0] == "[":
            return [_value(path, number, part) for part in parts]
        pairs = [re.match(r"([\w.]+) *: +(.+)$", part) for part in parts]
        if not all(pairs):
            raise _too_much(path, number)
        return {pair.group(1): _value(path, number, pair.group(2)) for pair in pairs if pair}
    if text[0] in "&*!|>%@`-?" and not _INTEGER.match(text) and not _NUMBER.match(text):
        raise _too_much(path, number)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.match(text):
        return int(text)
    if _NUMBER.match(text):
        return float(text)
    if ": " in text:
        raise _too_much(path, number)
    return text


def _json(path: Path, number: int, text: str) -> Any:
    """What run.yaml of a finished run writes: JSON on one line."""
    try:
        return json.loads(text)
    except ValueError:
        raise _too_much(path, number) from None


def _too_much(path: Path, number: int) -> ConfigError:
    return ConfigError(
        f"This interpreter has no PyYAML, and `{path}`, line {number}, is more than plain `key: value` lines.",
        "PyYAML comes with transformers: `envdoc fix --apply` builds an environment that has both.",
    )
