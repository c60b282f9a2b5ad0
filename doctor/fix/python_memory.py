"""What interpreters answered, kept in envdoc's folder (pythons.json), so that they are not started for every plan.

An answer holds for the file that gave it (path, size, time of change) and for its library folder, whose time changes
when a system package adds or removes `venv` or `ensurepip`. Only good answers are kept: a fault may be mended
elsewhere.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from envdoc.doctor.files import read_bytes

_LIMIT_BYTES = 1 << 20
_FORMAT = 1


class PythonMemory:
    """The answers in `folder`, or none where there is no folder: looking at a machine makes none."""

    def __init__(self, folder: Optional[Path]) -> None:
        self._path = folder / "pythons.json" if folder is not None else None
        self._answers = self._read()
        self._changed = False

    def recall(self, real: str) -> Optional[Mapping[str, str]]:
        """What the interpreter of that real path answered, if it is still the same; else None."""
        entry = self._answers.get(real)
        if not isinstance(entry, dict):
            return None
        told = entry.get("told")
        if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
            return None
        return told if entry.get("state") == _state(real, told.get("minor", "")) else None

    def keep(self, real: str, told: Mapping[str, str]) -> None:
        """Remember an answer; it is written by `save`."""
        self._answers[real] = {"state": _state(real, told["minor"]), "told": dict(told)}
        self._changed = True

    def save(self) -> None:
        """Write what is new, whole or not at all; a folder that cannot be written is no fault."""
        if self._path is None or not self._changed or not self._path.parent.is_dir():
            return
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(prefix="pythons.", dir=str(self._path.parent))
            temporary = Path(name)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump({"format": _FORMAT, "pythons": self._answers}, file)
                temporary.replace(self._path)
            except BaseException:
                temporary.unlink()
                raise

    def _read(self) -> Dict[str, Any]:
        if self._path is None:
            return {}
        try:
            raw = json.loads(read_bytes(self._path, _LIMIT_BYTES).decode("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
            return {}
        answers = raw.get("pythons")
        return dict(answers) if isinstance(answers, dict) else {}


def _state(real: str, minor: str) -> str:
    """Size and time of the interpreter and time of its library folder; "gone" where it cannot be looked at."""
    program = Path(real)
    library = program.parent.parent / "lib" / ("python" + minor)
    try:
        file = program.stat()
        folder = library.stat().st_mtime_ns if library.is_dir() else 0
    except OSError:
        return "gone"
    return f"{file.st_size} {file.st_mtime_ns} {folder}"
