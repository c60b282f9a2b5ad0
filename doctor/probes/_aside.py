"""An import that goes on in a fork of its own, on another core, while the fork server is at the next one."""

# mypy: disable-error-code="import-not-found"

import json
import os
import signal
import time
from typing import Any, Dict, NoReturn, Tuple

from _quiet_fork import die_with, flush, quiet_fork
from library_imports import look_at


class Aside:
    """It begins when this is made."""

    def __init__(self, module: str, names: Tuple[str, ...]) -> None:
        self._reading, writing = os.pipe()
        flush()
        server, self._child = os.getpid(), quiet_fork()
        if self._child == 0:
            die_with(server)
            _import(module, names, writing)
        os.close(writing)

    def result(self) -> Dict[str, Any]:
        """Wait for its end; what `look_at` saw and the seconds, or how the process ended."""
        with os.fdopen(self._reading, "rb") as pipe:
            text = pipe.read()
        status = os.waitpid(self._child, 0)[1]
        seen: Dict[str, Any] = json.loads(text) if text else {"error": _end(status)}
        return seen


def _import(module: str, names: Tuple[str, ...], writing: int) -> NoReturn:
    code: Any = 1
    try:
        started = time.monotonic()
        seen = look_at(module, names)
        seen["seconds"] = round(time.monotonic() - started, 2)
        os.write(writing, json.dumps(seen).encode("ascii"))
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        os._exit(code if isinstance(code, int) else 1)


def _end(status: int) -> str:
    """How it ended without a word, as `forked.py` says it of the server."""
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return f"the process ended with status {code}" if code else "the process ended before the import did"
