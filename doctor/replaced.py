"""Which environments a generation was built in place of: `envdoc fix` examined them, and its person said yes.

Their activation is often in a shell's start-up file and stays after `fix`; `check` and `train` must then go to what
was built, and not back to what was broken. `ENVDOC_HOME/replaced.json`: a generation's name -> prefixes.
"""

import json
import os
from pathlib import Path
from typing import Dict, FrozenSet, List

_FILE = "replaced.json"


def remember_replaced(home: Path, generation: str, prefix: str) -> None:
    """Note that the generation stands in for the environment at `prefix`. Raises OSError where that fails.

    Written beside and put in place in one step; a note of a generation that is gone is dropped.
    """
    notes = {name: found for name, found in _notes(home).items() if (home / "envs" / name).is_dir()}
    prefixes = [path for path in notes.get(generation, []) if path != _real(prefix)]
    notes[generation] = [*prefixes, _real(prefix)]
    temporary = home / f".{_FILE}-{os.getpid()}"
    temporary.write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
    temporary.replace(home / _FILE)


def replaced(home: Path) -> FrozenSet[str]:
    """The prefixes that the current generation stands in for; none where nothing is switched to."""
    try:
        current = (home / "current").resolve(strict=True).name
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(_notes(home).get(current, []))


def is_replaced(home: Path, prefix: Path) -> bool:
    """True where `fix` examined the environment at `prefix` and the current generation was built for it."""
    return _real(str(prefix)) in replaced(home)


def _notes(home: Path) -> Dict[str, List[str]]:
    try:
        told = json.loads((home / _FILE).read_text(encoding="utf-8"))
        return {str(name): [str(path) for path in paths] for name, paths in told.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _real(prefix: str) -> str:
    return os.path.realpath(prefix)
