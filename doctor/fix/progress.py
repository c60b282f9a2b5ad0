"""How much of a download is here: a bar on a terminal, a line every few seconds elsewhere, nothing when quiet."""

import os
import sys
import threading
import time
from typing import Any, Callable, Optional

_LINE_EVERY_SECONDS = 5.0


class Progress:
    """Counts bytes from several threads. With `report` None it is silent."""

    def __init__(self, report: Optional[Callable[[str], None]] = None) -> None:
        self._report = report
        self._mutex = threading.Lock()
        self._bar: Optional[Any] = None
        self._task: Any = None
        self.total_bytes: Optional[int] = None
        self.here_bytes = 0
        self.fetched_bytes = 0  # over the network in this run: what a rate is made of
        self._started = self._told = time.monotonic()

    def start(self, total_bytes: Optional[int]) -> None:
        """Begin to tell; `total_bytes` None where a size is not known."""
        self.total_bytes = total_bytes
        self._started = self._told = time.monotonic()
        if self._report is None or not _is_terminal():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=total_bytes, completed=self.here_bytes)
        self._bar.start()

    def add(self, count: int, fetched: bool = True) -> None:
        """So many more bytes are here; a negative count where a broken file was thrown away."""
        with self._mutex:
            self.here_bytes += count
            if fetched and count > 0:
                self.fetched_bytes += count
            if self._bar is not None:
                self._bar.update(self._task, completed=self.here_bytes)
                return
            now = time.monotonic()
            if self._report is not None and now - self._told >= _LINE_EVERY_SECONDS:
                self._told = now
                self._report(self.line(now))

    def line(self, now: float) -> str:
        """`120 of 530 MB downloaded, 4.1 MB/s, about 100 s left`."""
        rate = self.fetched_bytes / max(now - self._started, 1e-9)
        whole = f" of {self.total_bytes / 1e6:.0f}" if self.total_bytes else ""
        line = f"{self.here_bytes / 1e6:.0f}{whole} MB downloaded, {rate / 1e6:.2f} MB/s"
        if not self.total_bytes or rate < 1 or self.here_bytes >= self.total_bytes:
            return line
        seconds = (self.total_bytes - self.here_bytes) / rate
        return line + (
            f", about {seconds:.0f} s left" if seconds < 90 else f", about {seconds / 60:.0f} min left"
        )

    def note(self, line: str) -> None:
        """A sentence beside the counting."""
        if self._report is not None:
            self._report(line)

    def stop(self) -> float:
        """End the telling; the seconds since its start."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        return time.monotonic() - self._started


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
