"""The journal of envdoc's folder: what was built, switched to, rolled back and removed, one JSON object a line.

It only remembers the order of use, for `rollback`; what is true the link and the markers say. A line that was cut (the
writer was killed, the disk was full) is passed over, and written past.
"""

import contextlib
import datetime
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from envdoc.doctor.errors import FixError


class Journal:
    """The file `journal.jsonl`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def events(self) -> List[Dict[str, Any]]:
        """Every whole line, oldest first; none where the file cannot be read."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        events = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                if isinstance(event, dict):
                    events.append(event)
        return events

    def order_of_use(self) -> List[str]:
        """Names of generations as they were switched to; a rollback takes back what came after its name."""
        stack: List[str] = []
        for event in self.events():
            name = event.get("name")
            if event.get("event") == "switch" and isinstance(name, str):
                stack.append(name)
            elif event.get("event") == "rollback" and name in stack:
                del stack[len(stack) - stack[::-1].index(name) :]
            elif event.get("event") == "rollback" and name == "":
                stack = []
        return stack

    def add(self, event: str, name: str, number: Optional[int] = None) -> None:
        """Write a line, down to the disk. Raises FixError where that fails."""
        entry: Dict[str, Any] = {"at": now(), "event": event, "name": name}
        if number is not None:
            entry["number"] = number
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" if self._ends_in_half_a_line() else "")
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FixError(
                f"The journal `{self._path}` cannot be written: {error.strerror or error}.",
                "Nothing was switched. Make room on that disk, or set ENVDOC_HOME to another.",
            ) from error

    def _ends_in_half_a_line(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            if file.tell() == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat()
