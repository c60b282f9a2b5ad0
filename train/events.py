"""events.jsonl: what happened in a run, as it happens; one JSON object a line with `time` and `kind`.

The file is only ever appended to, and each line is handed to the system whole, so that `kill -9` costs no line that
was written and leaves at most one torn one, which the next attempt cuts off. An attempt that goes on from a checkpoint
says with `resume` how many updates that holds: updates after it are done again and written again, and `effective`
leaves out the lines that they replace.
"""

import datetime
import json
import math
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

from envdoc.train.private import private
from envdoc.train.progress import say

NAME = "events.jsonl"
OF_A_STEP = ("step", "eval", "sample", "checkpoint", "oom")  # written again where their update is done again


class Events:
    """The file of one run, open for this attempt; `None` in place of a path writes nothing (a dry run, rank 1)."""

    def __init__(self, path: Optional[Path]) -> None:
        self.path = path
        self.descriptor: Optional[int] = None
        if path is not None:
            self._open(path)

    def write(self, kind: str, **values: Any) -> None:
        """Append one event; `values` must be what JSON holds. Never raises: a full disk must not cost the run."""
        if self.descriptor is None:
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        event = _plain(private({"time": now, "kind": kind, **values}))
        data = (json.dumps(event, ensure_ascii=False, allow_nan=False, default=str) + "\n").encode(
            "utf-8", "replace"
        )
        try:
            written = os.write(self.descriptor, data)
            if written != len(data):
                raise OSError(f"only {written} of {len(data)} bytes fitted")
            if kind in ("checkpoint", "end"):
                os.fsync(self.descriptor)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Nothing more is written."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _open(self, path: Path) -> None:
        try:
            _cut_torn_line(path)
            self.descriptor = os.open(str(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        say(f"note: Events are no longer written to `{self.path}`: {error.strerror or error}.")
        self.close()


def read(path: Path) -> List[Dict[str, Any]]:
    """Every event of the file in order; a torn last line is passed over. [] where there is no file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.split("\n")[:-1]]


def effective(events: Iterable[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """The events without those of updates that a later attempt did again: each `step` is there once."""
    kept: List[Dict[str, Any]] = []
    for event in events:
        if event["kind"] in ("start", "resume"):
            done = event.get("step", 0)
            kept = [old for old in kept if not (old["kind"] in OF_A_STEP and old["step"] > done)]
        kept.append(event)
    return kept


def _plain(value: Any) -> Any:
    """The value with NaN and infinities as text: JSON has no such numbers, and most readers stop at them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: a write that a full disk or a power cut tore."""
    if not path.is_file():
        return
    with path.open("rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        start = size
        while start > 0:
            start = max(0, start - 65536)
            stream.seek(start)
            whole = start + stream.read(65536).rfind(b"\n") + 1
            if whole > start or start == 0:
                if whole != size:
                    stream.truncate(whole)
                return
