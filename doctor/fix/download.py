"""Wheels by HTTP that go on where they broke off: after a cut line, a kill, a reboot.

FILE.whl.part grows by appending and becomes FILE.whl only when its sha256 is one of the lock's.
"""

import errno
import hashlib
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from envdoc.doctor.fix.download_failures import as_failure, broken_off, portal, verdict
from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.progress import Progress
from envdoc.doctor.fix.simple_index import Wanted
from envdoc.doctor.fix.web import Web, WebError

AT_ONCE = 4
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)  # between attempts that brought no byte; one that did starts anew
_LONGEST_PAUSE_SECONDS = 120.0  # of what a server may ask for in Retry-After
_BLOCK_BYTES = 1 << 18


class Stopped(Exception):
    """Another file's failure, or Ctrl-C, ended this one; its part is kept."""


@dataclass(frozen=True)
class Downloaded:
    """What a download cost: bytes over the network in this run, and seconds."""

    fetched_bytes: int
    seconds: float


def download(wanted: Sequence[Wanted], folder: Path, web: Web, progress: Progress) -> Downloaded:
    """Every wanted wheel in `folder`, verified; those that are there already are not fetched again.

    Raises Failure for the first that cannot be had; the parts of the others stay for the next run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [item.size_bytes for item in wanted]
    progress.start(sum(size for size in sizes if size) if all(sizes) else None)
    jobs: Queue[Wanted] = Queue()
    for item in sorted(wanted, key=lambda item: -(item.size_bytes or 0)):
        jobs.put(item)
    stop = threading.Event()
    failures: List[BaseException] = []

    def work() -> None:
        while not stop.is_set():
            try:
                item = jobs.get_nowait()
            except Empty:
                return
            try:
                _File(item, folder, web, progress, stop).fetch()
            except Stopped:
                return
            except BaseException as error:
                failures.append(error)
                stop.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(wanted)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # so that Ctrl-C is heard
    finally:
        stop.set()
        seconds = progress.stop()
    if failures:
        raise as_failure(failures[0], folder)
    return Downloaded(progress.fetched_bytes, seconds)


def is_whole(path: Path, wanted: Wanted) -> bool:
    """True where that file is there and its hash is one of the wanted."""
    try:
        if wanted.size_bytes is not None and path.stat().st_size != wanted.size_bytes:
            return False
        return sha256_of(path) in wanted.sha256s
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """The file's hash, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class _File:
    """One wheel on its way."""

    def __init__(
        self, wanted: Wanted, folder: Path, web: Web, progress: Progress, stop: threading.Event
    ) -> None:
        self.wanted, self.web, self.progress, self.stop = wanted, web, progress, stop
        self.path = folder / wanted.file
        self.part = folder / (wanted.file + ".part")
        self.told_bytes: Optional[int] = None  # the whole file's size as the server says
        self.counted_bytes = 0  # what the progress knows of this file

    def fetch(self) -> None:
        """The file at `path`, from the first address that has it whole."""
        if is_whole(self.path, self.wanted):
            self._count(self.path.stat().st_size, fetched=False)
            return
        failure: Optional[Failure] = None
        for address in self.wanted.addresses:
            try:
                self._from(address)
                return
            except Failure as error:
                if error.kind == "disk":
                    raise
                failure = failure if failure is not None and failure.kind == "hash" else error
        raise failure or Failure("missing", f"No address of {self.wanted.file} is known.", "")

    def _from(self, address: str) -> None:
        mismatched: List[str] = []
        short = 0
        while True:
            resumed = self._whole_part(address)
            got, digest = self._have(), sha256_of(self.part)
            if digest in self.wanted.sha256s:
                self.part.replace(self.path)
                return
            failure = verdict(self.wanted, self.part, digest, address)
            if failure.kind == "incomplete" and not short:
                short = got  # a proxy may have cut this answer and not the next
                continue
            if failure.kind != "incomplete":
                self._drop()
            if failure.kind != "hash" or digest in mismatched or len(mismatched) > 1:
                raise failure
            mismatched.append(digest)  # bytes may have turned on the way, or two files were mixed
            after = " after it was continued" if resumed else ""
            self.progress.note(
                f"{self.wanted.file} arrived with a wrong hash{after}; fetching it from the start."
            )

    def _whole_part(self, address: str) -> bool:
        """Fill the part until the source has no more; True where it was begun earlier. Raises Failure."""
        begun = most = had = self._have()
        self._count(begun, fetched=False)
        if self.wanted.size_bytes is not None and begun > self.wanted.size_bytes:
            self._drop()
            begun = most = had = 0
        stuck = 0
        while self.wanted.size_bytes is None or had != self.wanted.size_bytes or not had:
            try:
                if self._local(address):
                    return False
                self._stream(address, had)
                return begun > 0
            except WebError as error:
                if error.status == 416 and had:
                    return True  # the source has no more than is here; the hash decides what it is
                now = self._have()
                stuck = 0 if now > most else stuck + 1
                had, most = now, max(now, most)
                if not error.transient or stuck > len(PAUSES_SECONDS):
                    raise broken_off(self.wanted, error, had, self.told_bytes) from error
                pause = (
                    error.wait_seconds
                    if error.wait_seconds is not None
                    else PAUSES_SECONDS[max(stuck - 1, 0)]
                )
                if pause > 5:
                    self.progress.note(f"{error.message} Waiting {pause:.0f} s.")
                if self.stop.wait(min(pause, _LONGEST_PAUSE_SECONDS)):
                    raise Stopped() from None
        return begun > 0

    def _stream(self, address: str, had: int) -> None:
        """One request, from byte `had` on. Raises WebError where it ends before the end."""
        answer, _ = self.web.open(address, {"Range": f"bytes={had}-"} if had else {})
        with answer:
            first = self._block(answer, had)
            if answer.status == 206:
                begins, self.told_bytes = _range(answer.headers.get("Content-Range", ""))
                if begins != had:
                    self._drop()
                    raise WebError("the server continued at another byte than was asked for.")
            else:
                if first[:512].lstrip().lower().startswith((b"<!doctype", b"<html", b"<head")):
                    raise portal(self.wanted, address)  # before anything that is here is thrown away
                if had:  # a server without ranges sends the whole again
                    self._drop()
                length = answer.headers.get("Content-Length", "")
                self.told_bytes = int(length) if length.isdigit() else None
            self._copy(answer, first)
        now = self._have()
        whole = self.told_bytes if self.told_bytes is not None else self.wanted.size_bytes
        if whole is not None and now < whole and not self._too_large(now):
            raise WebError("the connection was closed early.")

    def _too_large(self, now: int) -> bool:
        return self.wanted.size_bytes is not None and now > self.wanted.size_bytes

    def _copy(self, answer: Any, block: bytes) -> None:
        """Append what comes, up to one block beyond the size that is known: then it is another file."""
        limit_bytes = self.wanted.size_bytes
        with self.part.open("ab", buffering=0) as file:
            here = file.tell()
            while block:
                file.write(block)
                here += len(block)
                self._count(here)
                if limit_bytes is not None and here > limit_bytes:
                    return
                block = self._block(answer, here)

    def _block(self, answer: Any, here: int) -> bytes:
        if self.stop.is_set():
            raise Stopped()
        try:
            return bytes(answer.read1(_BLOCK_BYTES))
        except Exception as error:  # IncompleteRead, a reset, a stall longer than the time limit
            raise WebError(f"{type(error).__name__} after {here:,} bytes.") from error

    def _count(self, here: int, fetched: bool = True) -> None:
        """Tell the progress that so much of this file is here."""
        self.progress.add(here - self.counted_bytes, fetched)
        self.counted_bytes = here

    def _local(self, address: str) -> bool:
        """A file of this machine, copied whole; False for an address on a network."""
        if urlsplit(address).scheme != "file":
            return False
        source = Path(url2pathname(urlsplit(address).path))
        self._drop()
        try:
            shutil.copyfile(str(source), str(self.part))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise WebError(f"`{source}`: {error.strerror}.", 404, transient=False) from error
        self._count(self._have(), fetched=False)
        return True

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _drop(self) -> None:
        if self.part.exists():
            self.part.unlink()
        self._count(0)


def _range(header: str) -> Tuple[int, Optional[int]]:
    """`bytes 100-199/200` to (100, 200)."""
    span, _, whole = header.replace("bytes", "", 1).strip().partition("/")
    begins = span.partition("-")[0]
    return int(begins) if begins.isdigit() else -1, int(whole) if whole.isdigit() else None
