"""Reference data with its source and date, as TOML, and a small typed loader for each table.

The tables are read from tables.json, which `scripts/rules-docs` writes from all of them: TOML took a fiftieth of a
quick check. A test compares the two.
"""

import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict

FOLDER = Path(__file__).parent


@lru_cache(maxsize=None)
def load(name: str) -> Dict[str, Any]:
    """The table `name` as nested dicts and lists; read once. Raises KeyError where there is none."""
    table: Dict[str, Any] = _all()[name]
    return table


@lru_cache(maxsize=None)
def _all() -> Dict[str, Any]:
    loaded: Dict[str, Any] = json.loads((FOLDER / "tables.json").read_text(encoding="utf-8"))
    return loaded


def tables_in_toml() -> Dict[str, Any]:
    """What tables.json must hold: every table by name, dates as text."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    tables = {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))
    }
    loaded: Dict[str, Any] = json.loads(json.dumps(tables, default=str))
    return loaded
