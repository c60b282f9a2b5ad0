"""A child and its whole process group end when envdoc does, however that ends: by a pipe whose other end is envdoc's.

The kernel sends SIGIO to the owner of the reading end when the last writer is gone (fcntl(2), F_SETOWN and O_ASYNC),
and SIGIO ends a process that does not handle it. PR_SET_PDEATHSIG would end the child alone, and not what that forked.
"""

import fcntl
import os
import subprocess
import sys
from typing import Callable, Optional, Tuple
from weakref import WeakKeyDictionary


class Lifeline:
    """A pipe for one child; it holds as long as this object, and ends with this process."""

    def __init__(self) -> None:
        self._ends: Tuple[int, ...] = ()
        if sys.platform == "linux":
            self._ends = os.pipe()

    @property
    def inherited(self) -> Tuple[int, ...]:
        """The descriptor that the child keeps open (`pass_fds`)."""
        return self._ends[:1]

    @property
    def before_exec(self) -> Optional[Callable[[], None]]:
        """What the child calls in its new session, before it becomes its program (`preexec_fn`)."""
        if not self._ends:
            return None
        reading, own, owner, flags = self._ends[0], fcntl.fcntl, fcntl.F_SETOWN, fcntl.F_SETFL

        def tie() -> None:
            own(reading, owner, -os.getpid())  # the group, whose number is its leader's
            own(reading, flags, os.O_ASYNC)

        return tie

    def keep(self, child: "subprocess.Popen[bytes]") -> None:
        """Hold it as long as that child is known here."""
        for end in self._ends[:1]:
            os.close(end)
        self._ends = self._ends[1:]
        _HELD[child] = self

    def __del__(self) -> None:
        for end in self._ends:
            os.close(end)


_HELD: "WeakKeyDictionary[subprocess.Popen[bytes], Lifeline]" = WeakKeyDictionary()
