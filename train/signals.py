"""Signals that ask a run to stop: heard between updates, so that what was learnt is saved first.

SIGINT is Ctrl-C; SIGTERM comes from systemd, Kubernetes and `scancel`; SIGUSR1 from Slurm before the time is up
(`sbatch --signal=USR1@120`); SIGHUP when the terminal of an ssh session closes. One that the parent ignores stays
ignored: that is how `nohup` and a shell's background jobs keep a run alive.
"""

import contextlib
import os
import signal
import time
from types import TracebackType
from typing import Any, Dict, List, Optional, Type

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
# What follows sooner is the same wish once more: a closing terminal sends SIGHUP through its shell and by itself, and
# a launcher hands on the Ctrl-C that its workers have from the terminal already.
ECHO_SECONDS = 1.0


class StopRequest:
    """A context in which those signals set `number` at first, and raise KeyboardInterrupt the second time."""

    def __init__(self) -> None:
        self.number: Optional[int] = None
        self._first_at = 0.0
        self._before: Dict[int, Any] = {}
        self._terminals: List[int] = []

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells tell it."""
        return 128 + (self.number or signal.SIGINT)

    def __enter__(self) -> "StopRequest":
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        for number in ASKING:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: Any) -> None:
        """First time: stop after this update. Second time: at once; the last checkpoint is whole either way."""
        if number == signal.SIGHUP:
            self._leave_terminal()
        if self.number is not None:
            if time.monotonic() - self._first_at < ECHO_SECONDS or number == signal.SIGHUP:
                return
            raise KeyboardInterrupt
        self.number, self._first_at = number, time.monotonic()
        told = (
            "press Ctrl-C again to stop at once"
            if number == signal.SIGINT
            else "a second signal stops it at once"
        )
        # Not by print: the signal may have come in the middle of one, and Python refuses a second (reentrant call).
        with contextlib.suppress(OSError):  # where nobody reads any more
            os.write(2, f"\nStopping after this update, with a checkpoint; {told}.\n".encode())

    def _leave_terminal(self) -> None:
        """Write to nowhere from now on: to a terminal that is gone each write fails, and saving would with it."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self._terminals:
            os.dup2(nowhere, stream)
        os.close(nowhere)
