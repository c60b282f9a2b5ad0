"""Steps that go on in a fork of their own, on another core, while the fork server is at the next ones."""

# mypy: disable-error-code="import-not-found"

import json
import os
import signal
import time
from typing import Any, Callable, Dict, Sequence, Tuple

from _quiet_fork import die_with, flush, quiet_fork
from library_imports import look_at

Seen = Dict[str, Dict[str, Any]]


class Aside:
    """They begin when this is made. `take` gets every step that is no import, and `end` ends the process."""

    def __init__(
        self,
        steps: Sequence[Tuple[Any, ...]],
        take: Callable[[Tuple[Any, ...]], None],
        end: Callable[[], None],
    ) -> None:
        self._reading, writing = os.pipe()
        self._seen: Seen = {}
        flush()
        server, self._child = os.getpid(), quiet_fork()
        if self._child == 0:
            die_with(server)
            os.close(self._reading)
            try:
                _go_through(steps, take, writing)
            except SystemExit as error:
                os._exit(error.code if isinstance(error.code, int) else 1)
            except BaseException:
                os._exit(1)
            end()
        os.close(writing)

    def result(self, module: str) -> Dict[str, Any]:
        """Wait until that module is imported; what `look_at` saw and the seconds, or how the process ended."""
        while module not in self._seen:
            line = self._line()
            if not line:
                return {"error": _end(os.waitpid(self._child, 0)[1])}
            self._seen.update(json.loads(line))
        return self._seen[module]

    def _line(self) -> bytes:
        """One line of what it tells; b"" where it has ended."""
        text = b""
        while not text.endswith(b"\n"):
            byte = os.read(self._reading, 1)
            if not byte:
                return b""
            text += byte
        return text


def _go_through(
    steps: Sequence[Tuple[Any, ...]], take: Callable[[Tuple[Any, ...]], None], writing: int
) -> None:
    """Tell of every import as it ends; the first that fails is the last step, since it may have left half of itself."""
    for step in steps:
        if step[0] != "import":
            take(step)
            continue
        started = time.monotonic()
        seen = look_at(step[1], step[2])
        seen["seconds"] = round(time.monotonic() - started, 2)
        os.write(writing, (json.dumps({step[1]: seen}) + "\n").encode("ascii"))
        if "error" in seen:
            return


def _end(status: int) -> str:
    """How it ended without a word, as `forked.py` says it of the server."""
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return f"the process ended with status {code}" if code else "the process ended before the import did"
