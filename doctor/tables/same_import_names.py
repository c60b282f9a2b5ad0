"""Distributions of which one excludes the others, since they install the same import name."""

from functools import lru_cache
from typing import Dict, Tuple

from envdoc.doctor.tables import load


@lru_cache(maxsize=None)
def same_import_names() -> Dict[str, Tuple[str, ...]]:
    """The names of the distributions by the import name that they share."""
    return {name: tuple(owners) for name, owners in load("same_import_names")["owners"].items()}
