"""Packages that are installed by mistake: placeholders, forks under another's import name, dead builds."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Tuple

from envdoc.doctor.tables import load


@dataclass(frozen=True)
class WrongPackage:
    """One row: what it is, what was meant, and whose import name it writes over."""

    name: str
    instead: str
    severity: str
    why: str
    overwrites: str = ""


@lru_cache(maxsize=None)
def wrong_packages() -> Tuple[WrongPackage, ...]:
    """Every row. Raises TypeError where one is malformed."""
    return tuple(WrongPackage(**row) for row in load("wrong_packages")["package"])
