"""Every update of a run, as a file that only grows; checkpoints remember how far it reached.

`steps.jsonl` in the run's folder holds a line an update: step, loss, learning rate, grad_norm, seconds, tokens. A
checkpoint holds the file's length and hash at that time and the sums so far, whose size does not depend on the number
of updates (transformers' own log is written anew, whole, into each checkpoint: 20 MB after 100,000 updates).
Resuming cuts the file back to that length, so that an update that is done twice is told once.
"""

import contextlib
import errno
import hashlib
import json
import os
from array import array
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

NAME = "steps.jsonl"
SUMMED = ("seconds", "data_wait_seconds", "tokens", "padded_tokens", "answer_tokens")


class History:
    """The updates of one run: in memory step and loss (16 bytes an update) and the sums; on disk everything."""

    def __init__(self, run_folder: Path) -> None:
        self.path = run_folder / NAME
        self.last: Dict[str, Any] = {}  # the newest update's entry
        self.sums: Dict[str, float] = dict.fromkeys(SUMMED, 0)
        self._steps, self._losses = array("q"), array("d")
        self._written_bytes, self._digest = 0, hashlib.sha256()
        self._waiting: List[bytes] = []

    @property
    def losses(self) -> Tuple[Tuple[int, float], ...]:
        """(step, loss) of every update that is known."""
        return tuple(zip(self._steps, self._losses))

    def append(self, entry: Mapping[str, Any]) -> None:
        """Take in an update. A disk that refuses the line is asked again with the next, and by `mark` at last."""
        self._count(entry)
        for name in SUMMED:
            self.sums[name] += entry.get(name, 0)  # entries of before lack the newer ones
        self._waiting.append(json.dumps(self.last).encode() + b"\n")
        with contextlib.suppress(OSError):
            self._write()

    def mark(self) -> Dict[str, Any]:
        """What a checkpoint must remember, after the lines are safe on the disk. Raises OSError where they are not."""
        self._write()
        if self.path.exists():
            with self.path.open("rb") as stream:
                os.fsync(stream.fileno())
        return {"bytes": self._written_bytes, "sha256": self._digest.hexdigest(), "sums": self.sums}

    def restore(self, mark: Mapping[str, Any]) -> Optional[str]:
        """Go back to a mark. None, or why the earlier losses are lost; the sums come from the mark in any case."""
        self.__init__(self.path.parent)  # type: ignore[misc]
        self.sums.update(mark["sums"])
        try:
            with self.path.open("rb") as stream:
                kept = stream.read(mark["bytes"])
        except OSError as error:
            kept, lost = b"", f"`{self.path}` cannot be read ({error.strerror})"
        else:
            lost = f"`{self.path}` is not the file that the checkpoint remembers"
        if hashlib.sha256(kept).hexdigest() != mark["sha256"]:
            return lost
        for line in kept.splitlines():
            self._count(json.loads(line))
        self._written_bytes = len(kept)
        self._digest.update(kept)
        return None

    def adopt(self, entries: List[Mapping[str, Any]]) -> None:
        """Take in the updates of a checkpoint from before this file was kept: they stood in trainer_state.json."""
        self.__init__(self.path.parent)  # type: ignore[misc]
        for entry in entries:
            if "answer_tokens" in entry:
                self.append(entry)

    def _count(self, entry: Mapping[str, Any]) -> None:
        self.last = dict(entry)
        self._steps.append(entry["step"])
        self._losses.append(entry["loss"])

    def _write(self) -> None:
        """Append what waits, over whatever a full disk, or a run that was killed, left behind the last whole line."""
        if not self._waiting:
            return
        block = b"".join(self._waiting)
        descriptor = os.open(str(self.path), os.O_WRONLY | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            stream.truncate(self._written_bytes)
            stream.seek(self._written_bytes)
            written = stream.write(block)
            if written != len(block):  # the disk took only a part, and the next write would say why
                stream.truncate(self._written_bytes)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._waiting.clear()
        self._written_bytes += len(block)
        self._digest.update(block)
