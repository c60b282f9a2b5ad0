"""A symptom: a pattern that is compiled when a log may hold it, and words of which every match must hold one.

`Model vocab size: 0` is looked for only in lines that hold "vocab". The words are found in the pattern's own syntax
tree, when advisories.json is written; a pattern of which none can be said ("\\d+%") is searched for in every line.
"""

import re
import warnings
from functools import lru_cache
from typing import Any, FrozenSet, Iterator, List, Match, Optional, Pattern, Sequence, Tuple

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        from re import _constants as _sre  # type: ignore[attr-defined]
        from re import _parser as _parse  # type: ignore[attr-defined]
    except ImportError:  # Python 3.10 and older
        import sre_constants as _sre
        import sre_parse as _parse

_SHORTEST_WORD = 3  # letters; "of" is in every log
_MOST_WORDS = 24  # a pattern with more alternatives than that is looked for everywhere
_WORD = re.compile(r"[a-z0-9_]+")


class Symptom:
    """One pattern. `words` are lower case; each match of the pattern holds one of them. Empty: not known."""

    __slots__ = ("_compiled", "pattern", "words")

    def __init__(self, pattern: str, words: Optional[Sequence[str]] = None) -> None:
        self.pattern = pattern
        self._compiled: Optional[Pattern[str]] = None
        self.words: Tuple[str, ...] = tuple(required_words(pattern)) if words is None else tuple(words)

    @property
    def compiled(self) -> Pattern[str]:
        """Case does not matter, and a space matches any run of white space, a wrapped line's end among it."""
        if self._compiled is None:
            self._compiled = re.compile(spaced(self.pattern), re.IGNORECASE)
        return self._compiled

    def search(self, text: str) -> Optional[Match[str]]:
        """The first match in `text`."""
        return self.compiled.search(text)

    def finditer(self, text: str) -> Iterator[Match[str]]:
        """Every match in `text`."""
        return self.compiled.finditer(text)

    def __repr__(self) -> str:
        return f"Symptom({self.pattern!r})"


_SPACE = r"\s{1,200}"
_QUOTE = (
    r"""(?:['"`\u2018\u2019]|(?<![\w.])|(?![\w.-]))"""  # another sort, or none where a word begins or ends
)


def spaced(pattern: str) -> str:
    """The pattern with every space made to match up to 200 of white space, and every quote any quote or none.

    What stands in a class of characters stays.
    """
    parts: List[str] = []
    escaped = in_class = False
    for letter in pattern:
        if letter in " '" and not in_class:
            if escaped:
                parts.pop()
            parts.append(_SPACE if letter == " " else _QUOTE)
            escaped = False
            continue
        if not escaped and letter == "[":
            in_class = True
        elif not escaped and letter == "]":
            in_class = False
        escaped = letter == "\\" and not escaped
        parts.append(letter)
    return "".join(parts)


@lru_cache(maxsize=None)
def required_words(pattern: str) -> Tuple[str, ...]:
    """Words of which every match holds one, the fewest and longest that can be found; empty where none can be."""
    found = _needed(_parse.parse(pattern, re.IGNORECASE))
    return tuple(sorted(found)) if found and len(found) <= _MOST_WORDS else ()


def _needed(tree: Any) -> Optional[FrozenSet[str]]:
    """The best choice in a sequence: of its literal runs and of what its parts need."""
    choices: List[FrozenSet[str]] = []
    run: List[str] = []
    for code, value in [*tree, (None, None)]:
        if code is _sre.LITERAL:
            run.append(chr(value).lower())
            continue
        inner = _needed_by(code, value)
        if inner:
            choices.append(inner)
        words = [word for word in _WORD.findall("".join(run)) if len(word) >= _SHORTEST_WORD]
        choices += [frozenset([word]) for word in words if word.isascii()]
        run = []
    return max(choices, key=_worth) if choices else None


def _needed_by(code: Any, value: Any) -> Optional[FrozenSet[str]]:
    if code is _sre.BRANCH:
        return _any_of([_needed(branch) for branch in value[1]])
    if code is _sre.SUBPATTERN:
        return _needed(value[-1])
    if code in (_sre.MAX_REPEAT, _sre.MIN_REPEAT) and value[0] > 0:
        return _needed(value[2])
    return None


def _any_of(branches: Sequence[Optional[FrozenSet[str]]]) -> Optional[FrozenSet[str]]:
    found = [branch for branch in branches if branch]
    return frozenset().union(*found) if found and len(found) == len(branches) else None


def _worth(words: FrozenSet[str]) -> Tuple[int, int]:
    """Few words, and long ones: the shortest decides how many lines are looked at in vain."""
    shortest = min(len(word) for word in words)
    return (min(shortest, 12), -len(words))
