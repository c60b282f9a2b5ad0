"""Child processes: always an argument list, always a time limit, never a shell."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

from envdoc.doctor.errors import EnvdocError


@dataclass(frozen=True)
class Completed:
    """How a child ended. A time-out and a signal are results, not failures of envdoc."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool = False

    @property
    def signal_name(self) -> Optional[str]:
        """`SIGBUS` and the like where a signal ended the child; None otherwise."""
        if self.timed_out or self.returncode >= 0:
            return None
        try:
            return signal.Signals(-self.returncode).name
        except ValueError:
            return f"signal {-self.returncode}"

    @property
    def ok(self) -> bool:
        """True where the child ended by itself with exit status 0."""
        return not self.timed_out and self.returncode == 0


def run(
    argv: Sequence[str],
    timeout_seconds: float,
    env: Optional[Mapping[str, str]] = None,
    cwd: Optional[str] = None,
    stdin: Optional[str] = None,
) -> Completed:
    """Run `argv` in a session of its own and return how it ended; its whole process group dies at the limit.

    Output is decoded as UTF-8 with replacement, since a driver tool may print any bytes.
    Raises EnvdocError where the program is missing or may not be started.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise EnvdocError(f"`{argv[0]}` could not be started: {error}.") from error
    timed_out = False
    try:
        out, err = process.communicate(stdin.encode() if stdin is not None else None, timeout_seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
        _kill_group(process)
        try:
            out, err = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:  # a grandchild outside the group holds the pipe
            out, err = b"", b""
    except BaseException:  # Ctrl-C: take the group along, then let it pass
        _kill_group(process)
        raise
    return Completed(
        returncode=process.returncode if process.returncode is not None else -signal.SIGKILL,
        stdout=out.decode("utf-8", "replace"),
        stderr=err.decode("utf-8", "replace"),
        seconds=time.monotonic() - started,
        timed_out=timed_out,
    )


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
