"""Which release of a library has which name and takes which argument, as the wheels themselves say.

`script_api.json` holds only what changed between the releases that were read. Of each item it keeps the last release
read that did not have it yet and the first that has it no more; between such a release and its neighbour nothing is
claimed. It is kept apart from the other tables, since only `--script` needs it.
"""

import json
from functools import lru_cache
from typing import Any, Dict, FrozenSet, NamedTuple, Optional, Tuple

from envdoc.doctor.tables import FOLDER, load
from envdoc.doctor.tables.versions import satisfies


class Span(NamedTuple):
    """Where something is missing: up to one release, and from another on; empty where there is no such release."""

    until: str
    since: str

    def missing(self, version: str) -> bool:
        """Whether that version surely lacks it."""
        older = bool(self.until) and satisfies(version, f"<={self.until}")
        return older or (bool(self.since) and satisfies(version, f">={self.since}"))


@lru_cache(maxsize=None)
def _table() -> Dict[str, Any]:
    loaded: Dict[str, Any] = json.loads((FOLDER / "script_api.json").read_text(encoding="utf-8"))
    return loaded


def has_name(dotted: str) -> bool:
    """Whether the table knows that name, so that some release lacks it."""
    return dotted in _table()["names"]


def name_span(dotted: str) -> Optional[Span]:
    """Where `transformers.AdamW` is missing; None where the table does not know it."""
    found = _table()["names"].get(dotted)
    return Span(*found) if found else None


@lru_cache(maxsize=None)
def arguments(function: str) -> Optional[FrozenSet[str]]:
    """The arguments of that function that some release lacks; None where the table does not know the function."""
    names = set()
    for owner in (function, *_bases(function)):
        names |= set(_table()["calls"].get(owner, {}).get("arguments", {}))
    return frozenset(names) if function in _table()["calls"] else None


def argument_spans(function: str, argument: str) -> Tuple[Tuple[str, Span], ...]:
    """(function, span) for the function and each class it derives from that has the argument in some release.

    The argument is taken where any of them takes it: SFTConfig takes what the installed TrainingArguments takes.
    """
    found = []
    for owner in (function, *_bases(function)):
        entry = _table()["calls"].get(owner, {})
        if argument in entry.get("constant", ()):
            return ()
        span = entry.get("arguments", {}).get(argument)
        if span:
            found.append((owner, Span(*span)))
    return tuple(found)


def _bases(function: str) -> Tuple[str, ...]:
    return tuple(_table()["calls"].get(function, {}).get("base", ()))


def replacement(subject: str) -> str:
    """What took the place of a name or of FUNCTION(ARGUMENT); empty where nothing did that envdoc knows."""
    told = load("script_replaced")
    _, _, argument = subject.rstrip(")").partition("(")
    if argument:
        of_any = told["arguments"].get(f"*({argument})", "")
        return str(told["arguments"].get(subject, of_any))
    return str(told["names"].get(subject, ""))


def moved(subject: str) -> str:
    """Where FUNCTION(ARGUMENT) has gone to: "SFTConfig(packing=)"; empty where it has not."""
    return str(load("script_replaced")["moved"].get(subject, ""))


def sources() -> Dict[str, Any]:
    """The releases that were read, by package, and the day."""
    return {"releases": _table()["releases"], "date": _table()["date"]}
