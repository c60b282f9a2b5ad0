"""The ends of a session that a user does not type: SIGHUP (a connection that dropped), SIGTERM (a machine that stops).

Both are made into Ctrl-C, which every step of a build clears up after. `nohup` ignores SIGHUP, and that stays so.
"""

import contextlib
import signal
import threading
from typing import Any, Iterator, List, Tuple

_SIGNALS = ("SIGTERM", "SIGHUP")


@contextlib.contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt, once: what comes while it is cleared up is ignored."""
    before: List[Tuple[int, Any]] = []

    def interrupt(number: int, frame: object) -> None:
        for other, _ in before:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name)
            if signal.getsignal(number) is signal.SIG_DFL:  # ignored, or somebody's own: left as it is
                before.append((number, signal.SIG_DFL))
                signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
