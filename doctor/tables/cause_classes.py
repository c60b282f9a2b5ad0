"""The classes of causes that `envdoc why` answers with, and the neighbours that share a log line."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Tuple

from envdoc.doctor.tables import load


@dataclass(frozen=True)
class CauseClass:
    """One class. `near` are classes that an answer may name in its place without being wrong."""

    name: str
    meaning: str
    near: Tuple[str, ...] = ()


@lru_cache(maxsize=None)
def cause_classes() -> Tuple[CauseClass, ...]:
    """Every class, in the taxonomy's order: the commonest first. Raises TypeError where a row is malformed."""
    return tuple(
        CauseClass(row["name"], row["meaning"], tuple(row.get("near", ())))
        for row in load("cause_classes")["class"]
    )
