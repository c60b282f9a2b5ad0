"""Child processes: always an argument list, always a time limit, never a shell."""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from threading import Thread
from typing import IO, Any, Callable, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.lifeline import Lifeline

try:  # loaded here, since between fork and exec nothing may be imported
    import ctypes

    _PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
except (ImportError, OSError):  # a Python that was built without libffi
    _PRCTL = None

OUTPUT_LIMIT_BYTES = 1 << 24  # 16 MiB; a report of a child is kilobytes


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

    It dies with envdoc too, even of SIGKILL, and so does what it has started (`python -m venv` starts ensurepip, and
    that pip), so that no orphan goes on writing where the next run clears up.

    Output is decoded as UTF-8 with replacement, since a driver tool may print any bytes; one that prints more than
    OUTPUT_LIMIT_BYTES is ended there.
    Raises EnvdocError where the program is missing or may not be started.
    """
    started = time.monotonic()
    try:
        lifeline = Lifeline()
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
            pass_fds=lifeline.inherited,
            preexec_fn=_both(tied_to(os.getpid()), lifeline.before_exec),
        )
    except (OSError, ValueError) as error:
        raise EnvdocError(f"`{argv[0]}` could not be started: {error}.") from error
    lifeline.keep(process)
    pipes = _Pipes(process, stdin.encode() if stdin is not None else None)
    try:
        timed_out = not pipes.ended(timeout_seconds)
        if timed_out:
            _kill_group(process)
            pipes.ended(5)  # a grandchild outside the group may hold the pipe; what it said so far is kept
    except BaseException:  # Ctrl-C: take the group along, then let it pass
        _kill_group(process)
        raise
    return Completed(
        returncode=process.returncode if process.returncode is not None else -signal.SIGKILL,
        stdout=pipes.out.decode("utf-8", "replace"),
        stderr=pipes.err.decode("utf-8", "replace"),
        seconds=time.monotonic() - started,
        timed_out=timed_out,
    )


def tied_to(parent: int) -> Callable[[], None]:
    """What a child calls before it starts: SIGKILL for it when that parent dies. Linux only."""

    def tie() -> None:
        if _PRCTL is None:
            return
        pr_set_pdeathsig = 1
        _PRCTL(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return tie


def _both(first: Callable[[], None], second: Optional[Callable[[], None]]) -> Callable[[], None]:
    def tie() -> None:
        first()
        if second is not None:
            second()

    return tie


class _Pipes:
    """Both outputs read by threads of their own, each up to the limit, and the input written by a third."""

    def __init__(self, process: "subprocess.Popen[bytes]", data: Optional[bytes]) -> None:
        self.out, self.err = bytearray(), bytearray()
        self._process = process
        jobs: List[Tuple[Callable[..., None], Tuple[Any, ...]]] = [
            (self._read, (process.stdout, self.out)),
            (self._read, (process.stderr, self.err)),
        ]
        if data is not None:
            jobs.append((self._write, (data,)))
        self._threads = [Thread(target=job, args=arguments, daemon=True) for job, arguments in jobs]
        for thread in self._threads:
            thread.start()

    def ended(self, timeout_seconds: float) -> bool:
        """Whether the outputs and the process ended within that time."""
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return False
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read(self, pipe: IO[bytes], into: bytearray) -> None:
        with pipe:
            while True:
                block = os.read(pipe.fileno(), 1 << 16)
                if not block:
                    return
                into += block
                if len(into) > OUTPUT_LIMIT_BYTES:
                    _kill_group(self._process)
                    return

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(data)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
