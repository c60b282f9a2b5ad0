"""Reference data with its source and date, as TOML, and a small typed loader for each table."""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@lru_cache(maxsize=None)
def load(name: str) -> Dict[str, Any]:
    """The table `name`.toml as nested dicts and lists; read once. Raises FileNotFoundError where there is none."""
    with (Path(__file__).parent / (name + ".toml")).open("rb") as file:
        return tomllib.load(file)
