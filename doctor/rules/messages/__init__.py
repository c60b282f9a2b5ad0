"""The words of every rule as data: `en/FAMILY.toml`, a table a code. A second language is a second folder.

Parsing TOML takes a tenth of a quick check, so `en.json` holds the same tables; `scripts/rules-docs` writes it, and a
test compares the two.
"""

import json
import sys
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, FrozenSet, Tuple

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Message:
    """The words of one rule. `title` and `detail` are templates; `title` stays under 80 characters when filled."""

    code: str
    name: str  # slug: "driver-missing"
    severity: str  # "error", "warning" or "info"
    kind: str  # "host", "library", "data" or "script"
    summary: str  # what the rule looks at, in one line
    title: str
    detail: str
    passed: str = ""  # what to say when it is well; `summary` where empty
    remedy: Tuple[str, ...] = ()  # commands that can be pasted
    safe: bool = False  # envdoc may run the commands itself
    needs_new_environment: bool = False  # `envdoc fix --apply` mends it
    why: str = ""  # the page: what goes wrong if nothing is done, and why
    example: str = ""  # the page: the error as a program prints it
    links: Tuple[str, ...] = ()  # upstream threads as `owner/repo#123`, or names of documents
    source: str = ""  # where the bounds come from, with the date


@lru_cache(maxsize=None)
def messages(language: str = "en") -> Dict[str, Message]:
    """Every message of that language by code."""
    tables = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return {code: Message(code=code, **_values(table)) for code, table in tables.items()}


def tables_in_toml(language: str = "en") -> Dict[str, Dict[str, Any]]:
    """The tables of every TOML file by code. Raises ValueError where one is no message or is there twice."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    known = {item.name for item in fields(Message)}
    loaded: Dict[str, Dict[str, Any]] = {}
    for path in sorted((FOLDER / language).glob("*.toml")):
        with path.open("rb") as file:
            tables = tomllib.load(file)
        for code, table in tables.items():
            unknown = set(table) - known
            if unknown or code in loaded:
                raise ValueError(
                    f"{path.name}: {code} is there twice, or has unknown keys {sorted(unknown)}."
                )
            loaded[code] = table
    return loaded


@lru_cache(maxsize=None)
def own_words() -> FrozenSet[str]:
    """What reports say of a check that passed or was skipped, word for word: nothing of a machine is in it."""
    every = messages().values()
    return frozenset(text for message in every for text in (message.passed, message.summary))


def _values(table: Dict[str, Any]) -> Dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
