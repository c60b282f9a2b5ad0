"""A fork that says nothing, prints nothing twice, and goes when the process does that it belongs to."""

import contextlib
import os
import signal
import sys
import warnings

PR_SET_PDEATHSIG = 1


def quiet_fork() -> int:
    """os.fork() without the warning that this process has threads: they are numpy's and idle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return os.fork()


def flush() -> None:
    """Empty the buffers of the standard streams, or each fork would print them again."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def die_with(parent: int) -> None:
    """Let the kernel kill this process when that one goes; where ctypes is broken that is left to the runner."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except Exception:
        return
    if os.getppid() != parent:
        os._exit(1)
