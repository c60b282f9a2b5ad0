"""What pip and uv have in common here: run one, watch the bytes arrive, say why it failed, try again where that helps.

Both install wheels only, each checked against the hash in the lock, and resolve nothing.
"""

import ctypes
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.fix.failure import Failure, failure_of, incomplete

Report = Callable[[str], None]

STRICT = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
_STALL_SECONDS = (
    900.0  # no byte for so long: pip's own read limit is 15 s, a slow disk unpacks torch in minutes
)
CHECK_SECONDS = 300.0
WATCH_SECONDS = 10.0  # the first seconds of a download, by which its rate is judged
_PAUSES_SECONDS = (2.0, 10.0)  # before the second and the third attempt

# A setting of these would send files elsewhere, or refuse a lock that is complete.
_UNWANTED = (
    "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_NO_BINARY",
    "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV",
)  # fmt: skip


class Installer(ABC):
    """One of the tools. `arrived` counts what is on the disk now; nothing is estimated but the time left."""

    name = ""
    streams = False  # True where it downloads fast by itself, many files at once

    def look_ahead(self, base: Path) -> None:  # noqa: B027
        """Begin with what needs no environment yet; `base` is the Python that it is made from. Does not wait."""

    def prepare(self, python: Path, temporary: Path, wheelhouse: Optional[Path]) -> None:  # noqa: B027
        """Make ready for installing into that interpreter's environment; files it needs go to `temporary`."""

    @abstractmethod
    def command(self, python: Path, lock: Path, wheelhouse: Optional[Path], again: bool) -> List[str]:
        """The argument list that installs `lock` into that interpreter's environment."""

    def offline(self) -> List[str]:
        """What to add to `command` for an attempt that takes everything from the installer's cache."""
        return []

    def without_cache(self, temporary: Path) -> bool:
        """Go on without the cache that cannot be used, with one in `temporary`; False where that is no way out."""
        return False

    def unpacked(self) -> str:
        """A glob pattern of folders, each a whole wheel unpacked, that are there before all are installed; or ""."""
        return ""

    def is_consistent(self, python: Path) -> Tuple[bool, str]:
        """`pip check` of that environment: whether everything fits together, and what was printed."""
        done = run([str(python), "-m", "pip", "check"], CHECK_SECONDS)
        return done.ok, done.stdout or done.stderr

    def variables(self) -> Dict[str, str]:
        """What it needs in its environment besides the caller's own."""
        return {}

    @abstractmethod
    def total_bytes(self, download_bytes: int, venv_bytes: int) -> int:
        """What `arrived` comes to at the end, from a profile's measured sizes."""

    @abstractmethod
    def arrived(self, environment: Path, temporary: Path) -> int:
        """The bytes that it has written since `prepare`."""

    def arriving(self, pid: int) -> Optional[int]:
        """The bytes that its process has written, where that can be had without a look at every file."""
        return None


class SlowLink(Exception):
    """An installer that was ended since another way is better on this link; its rate of arriving bytes."""

    def __init__(self, bytes_per_second: float) -> None:
        super().__init__()
        self.bytes_per_second = bytes_per_second


def install(
    installer: Installer,
    environment: Path,
    lock: Path,
    temporary: Path,
    log: Path,
    total_bytes: int,
    report: Report,
    wheelhouse: Optional[Path] = None,
    too_slow: Optional[Callable[[float], bool]] = None,
    offline: bool = False,
    attempts: int = 3,
) -> None:
    """Install every pin of `lock` into the virtual environment; up to `attempts` of them where a download broke off.

    `too_slow` is asked once, after the first seconds, whether so many bytes a second are too few: then the tool is
    ended and SlowLink raised. With `offline` there is one attempt, from the tool's cache alone.
    `total_bytes` is what the installer's `arrived` comes to, for the progress line. The tool's whole output goes
    to `log`. Raises Failure. A file whose hash differs is fetched once more: if other bytes come it was a broken
    download, and only the same bytes twice are called a wrong file (most reports of wrong hashes of torch are
    truncated downloads: pytorch#104598, pytorch#110847).
    """
    digest = ""
    interpreter = environment / "bin" / "python"
    for attempt in range(attempts):
        command = installer.command(interpreter, lock, wheelhouse, attempt > 0)
        command += installer.offline() if offline else []
        try:
            _attempt(installer, environment, command, temporary, log, total_bytes, report, too_slow)
            return
        except Failure as failure:
            if failure.kind == "cache" and installer.without_cache(temporary):
                report(
                    f"{failure.message} Going on without it: the files are shared with no other environment."
                )
                install(
                    installer, environment, lock, temporary, log, total_bytes, report, wheelhouse, too_slow, offline,
                    attempts,
                )  # fmt: skip
                return
            if offline:
                raise
            if failure.kind == "hash" and failure.digest and failure.digest == digest:
                raise
            if failure.kind not in ("hash", "network") or attempt == attempts - 1:
                repeated = failure.kind == "hash" and attempts > 1
                raise incomplete(failure) if repeated else failure from None
            digest = failure.digest
            report(f"{failure.message} Trying again.")
            time.sleep(_PAUSES_SECONDS[attempt])


def _attempt(
    installer: Installer,
    environment: Path,
    command: List[str],
    temporary: Path,
    log: Path,
    total_bytes: int,
    report: Report,
    too_slow: Optional[Callable[[float], bool]],
) -> None:
    with log.open("ab") as output:
        start = output.tell()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(os.environ, temporary, installer.variables()),
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise Failure("other", f"`{command[0]}` could not be started: {error}.", "") from error
    try:
        _watch(process, installer, environment, temporary, total_bytes, report, too_slow)
    finally:
        if process.poll() is None:  # Ctrl-C, a stall, a failure of our own
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        with log.open("rb") as output:
            output.seek(start)
            raise failure_of(
                installer.name, output.read().decode("utf-8", "replace"), process.returncode, log
            )


def _watch(
    process: "subprocess.Popen[bytes]",
    installer: Installer,
    environment: Path,
    temporary: Path,
    total_bytes: int,
    report: Report,
    too_slow: Optional[Callable[[float], bool]],
) -> None:
    started = told = moved = time.monotonic()
    most = first = installer.arrived(environment, temporary)
    there = _packages(environment)
    pause = 0.2
    while True:
        try:
            process.wait(pause)
            return
        except subprocess.TimeoutExpired:
            looked = time.monotonic()
        written = installer.arriving(process.pid)
        arrived = installer.arrived(environment, temporary) if written is None else first + written
        now = time.monotonic()
        pause = min(5.0, max(1.0, 10 * (now - looked)))  # looking must not cost a tenth of the work
        if arrived > most:
            most, moved = arrived, now
        if now - moved > _STALL_SECONDS:
            raise Failure(
                "network",
                f"No byte has arrived for {_STALL_SECONDS / 60:.0f} minutes.",
                "Look at the network, then run it again: what has arrived is kept in the installer's cache.",
            )
        if too_slow is not None and now - started >= WATCH_SECONDS and most > first:
            per_second = (most - first) / (now - started)
            if (
                too_slow(per_second) and _packages(environment) <= there
            ):  # else it has all and links or copies now
                raise SlowLink(per_second)
            too_slow = None
        if now - told >= 5.0:
            told = now
            report(progress_line(most, total_bytes, (most - first) / (now - started)))


def _packages(environment: Path) -> int:
    return sum(1 for _ in environment.glob("lib/*/site-packages/*.dist-info"))


def progress_line(arrived_bytes: int, total_bytes: int, bytes_per_second: float) -> str:
    """`1.2 of 8.3 GB written, about 2 min left`; without the time where nothing moves or more came than expected."""
    if arrived_bytes >= total_bytes:
        return f"{arrived_bytes / 1e9:.2f} GB written"
    line = f"{arrived_bytes / 1e9:.2f} of {total_bytes / 1e9:.2f} GB written"
    if bytes_per_second < 1:
        return line
    seconds = (total_bytes - arrived_bytes) / bytes_per_second
    return line + (
        f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"
    )


def clean_environment(environ: Mapping[str, str], temporary: Path, more: Mapping[str, str]) -> Dict[str, str]:
    """The caller's variables without those that would send files elsewhere, with `temporary` for downloads."""
    kept = {name: value for name, value in environ.items() if name not in _UNWANTED}
    kept.update(
        TMPDIR=str(temporary), PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PYTHONNOUSERSITE="1"
    )
    kept.update(more)
    return kept


def _die_with_parent() -> None:
    """In the child, before it starts: SIGKILL for it when envdoc dies, so that no orphan goes on writing."""
    pr_set_pdeathsig = 1
    _LIBC.prctl(pr_set_pdeathsig, signal.SIGKILL)


_LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec nothing may be imported
