"""Environments that are built beside each other and never changed; a link says which one is in use.

The layout is told in doctor/home.py. A generation without `.incomplete` and with a receipt is whole. The link and
the marker decide what is true; the journal only remembers the order of use, for `rollback`.
"""

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix import lock
from envdoc.doctor.fix.interrupt import as_ctrl_c
from envdoc.doctor.fix.journal import Journal
from envdoc.doctor.fix.orphans import end_orphans
from envdoc.doctor.fix.removal import INCOMPLETE, RECEIPT, remove_folder
from envdoc.doctor.fix.sync import sync_folder

_NAME = re.compile(r"(\d{4,})-.+")  # a folder of another name in envs/ is somebody's own and stays untouched


@dataclass(frozen=True)
class Generation:
    """One whole environment and what its receipt says."""

    number: int
    folder: Path
    profile: str
    lock_sha256: str
    python_version: str
    date: str
    bytes: int
    packages: int
    is_current: bool = False

    @property
    def name(self) -> str:
        """`0002-cpu-py311-0123456789ab`: the folder's name."""
        return self.folder.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


class Generations:
    """The generations under envdoc's folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._envs = home / "envs"
        self._link = home / "current"
        self._journal = Journal(home / "journal.jsonl")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold envdoc's folder alone. Raises FixError where another envdoc holds it, or where it cannot be made.

        The lock goes with the process, however it ends; SIGTERM and SIGHUP are Ctrl-C here (doctor/fix/interrupt.py).
        """
        with as_ctrl_c(), lock.held(self.home):
            try:
                self._envs.mkdir(exist_ok=True)
            except OSError as error:
                if self._envs.is_symlink():
                    raise FixError(
                        f"`{self._envs}` is a link to `{os.readlink(str(self._envs))}`, which is not there.",
                        "Mount that disk, or remove the link.",
                    ) from error
                raise lock.cannot_write(self.home, error) from error
            yield

    def list(self) -> Tuple[Generation, ...]:
        """Every whole generation, oldest first. One whose receipt cannot be read is not whole."""
        current = self._current_name()
        found = (self._load(folder, current) for folder in self._folders())
        return tuple(sorted((item for item in found if item is not None), key=lambda item: item.number))

    def current(self) -> Optional[Generation]:
        """The generation that the link points to, or None."""
        return next((item for item in self.list() if item.is_current), None)

    def begin(self, profile: str, lock_sha256: str) -> Path:
        """A new folder for a generation, marked incomplete before anything else is in it."""
        if (
            self._link.exists() and not self._link.is_symlink()
        ):  # told before an hour of downloads, and not after it
            raise FixError(
                f"`{self._link}` is no link of envdoc's own. Nothing was changed.",
                f"Move it away: `mv {self._link} {self._link}.mine`.",
            )
        current = self._current_name() or ""
        numbers = [_number(name) for name in [current, *(folder.name for folder in self._folders())]]
        used = [event["number"] for event in self._journal.events() if isinstance(event.get("number"), int)]
        number = max([*numbers, *used, 0]) + 1  # a number is never used again, even after a removal
        folder = self._envs / f"{number:04d}-{profile}-{lock_sha256[:12]}"
        try:
            folder.mkdir(parents=True)
            (folder / INCOMPLETE).write_text(f"{os.getpid()}\n")
        except OSError as error:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise FixError(
                f"`{folder}` cannot be made: {error.strerror or error}. Nothing was changed.",
                "Make room on that disk, or set ENVDOC_HOME to another.",
            ) from error
        try:
            self._journal.add("begin", folder.name, number)
        except FixError:
            remove_folder(folder)
            raise
        return folder

    def complete(self, folder: Path, receipt: Mapping[str, Any]) -> Generation:
        """Write the receipt, then take the marker away: from then on the generation is whole."""
        temporary = folder / (RECEIPT + ".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(receipt, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / RECEIPT)
        sync_folder(folder)  # after a power cut the receipt is there before the marker is not
        (folder / INCOMPLETE).unlink()
        sync_folder(folder)
        sync_folder(self._envs)
        self._journal.add("complete", folder.name)
        made = self._load(folder, self._current_name())
        assert made is not None, "a receipt that was just written can be read"
        return made

    def switch(self, generation: Generation) -> Generation:
        """Point the link at that generation, in one step: whoever reads it sees the old one or the new one.

        The journal is written first: with a full disk that fails, and the link is as it was.
        """
        self._journal.add("switch", generation.name)
        self._point(generation)
        return self._reloaded(generation)

    def rollback(self) -> Optional[Generation]:
        """Go back to the generation that was in use before the current one; from the first one to none (None).

        As with nix a second rollback goes further back, and never forth again. Unlike nix the order is that of use
        and not of numbers, since a generation of the same lock is used again instead of built twice. Raises
        FixError where none is in use.
        """
        with self.locked():
            if self._current_name() is None:
                raise FixError("There is no current generation.", "Build one with `envdoc fix --apply`.")
            whole = {item.name: item for item in self.list()}
            current = self._current_name()
            before = [name for name in self._history()[:-1] if name in whole and name != current]
            before = [
                name for name in before if whole[name].python.exists()
            ]  # its Python may have moved since
            if not before:
                self._journal.add("rollback", "")
                try:
                    self._link.unlink()
                    sync_folder(self.home)
                except OSError as error:
                    raise lock.cannot_write(self.home, error) from error
                return None
            target = whole[before[-1]]
            self._journal.add("rollback", target.name)
            self._point(target)
            return self._reloaded(target)

    def remove_unused(self, keep: int = 2) -> Tuple[Generation, ...]:
        """Remove all but the `keep` generations used last, and never the current one; and what was interrupted."""
        with self.locked():
            self.remove_incomplete()
            recent = [name for name in dict.fromkeys(reversed(self._history()))][: max(1, keep)]
            gone = tuple(item for item in self.list() if not item.is_current and item.name not in recent)
            for item in gone:
                self.discard(item.folder)
            return gone

    def remove_incomplete(self) -> Tuple[str, ...]:
        """Remove what an interrupted build or removal left; their names. The caller holds the lock."""
        current = self._current_name()
        left = [
            folder
            for folder in self._folders()
            if folder.name != current and ((folder / INCOMPLETE).exists() or self._load(folder, None) is None)
        ]
        for folder in left:
            end_orphans(folder)
            self.discard(folder)
        for pattern in (".current-*", "lock.stale-*", ".replaced.json-*"):
            for link in self.home.glob(pattern):
                with contextlib.suppress(OSError):
                    link.unlink()
        return tuple(folder.name for folder in left)

    def discard(self, folder: Path) -> None:
        """Remove a generation's folder; marked incomplete first, so that a kill leaves nothing that looks whole."""
        remove_folder(folder)
        with contextlib.suppress(FixError):
            self._journal.add("remove", folder.name)

    def _point(self, generation: Generation) -> None:
        temporary = self.home / f".current-{os.getpid()}"
        try:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            temporary.symlink_to(Path("envs") / generation.name)
            temporary.replace(self._link)
            sync_folder(self.home)
        except OSError as error:
            raise FixError(
                f"The link `{self._link}` could not be switched: {error.strerror or error}.",
                "It must be a link of envdoc's own; the generation itself is kept.",
            ) from error

    def _reloaded(self, generation: Generation) -> Generation:
        return next(item for item in self.list() if item.name == generation.name)

    def _folders(self) -> List[Path]:
        if not self._envs.is_dir():
            return []
        return sorted(
            folder
            for folder in self._envs.iterdir()
            if _NAME.match(folder.name) and folder.is_dir() and not folder.is_symlink()
        )

    def _current_name(self) -> Optional[str]:
        try:
            return Path(os.readlink(str(self._link))).name
        except OSError:
            return None

    def _load(self, folder: Path, current: Optional[str]) -> Optional[Generation]:
        if (folder / INCOMPLETE).exists():
            return None
        try:
            receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
            return Generation(
                number=_number(folder.name),
                folder=folder,
                profile=receipt["profile"],
                lock_sha256=receipt["lock_sha256"],
                python_version=receipt["python_version"],
                date=receipt["date"],
                bytes=receipt["bytes"],
                packages=len(receipt["packages"]),
                is_current=folder.name == current,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _history(self) -> List[str]:
        """Names in the order of use, the current one last.

        A switch puts a name on top, a rollback goes back to one. The link decides where the two disagree (a kill
        between the line in the journal and the link; a journal that was lost).
        """
        stack = self._journal.order_of_use()
        current = self._current_name()
        if current is not None:
            if current in stack:
                del stack[len(stack) - stack[::-1].index(current) :]
            stack.append(current)
        told = {event.get("name") for event in self._journal.events() if isinstance(event.get("name"), str)}
        lost = [item.name for item in self.list() if item.name not in told and item.name != current]
        stack = lost + stack  # a journal that was lost since: the numbers tell the order
        return [name for place, name in enumerate(stack) if place == 0 or stack[place - 1] != name]


def _number(name: str) -> int:
    """The number that a generation's name begins with; 0 where it has none."""
    match = _NAME.match(name)
    return int(match.group(1)) if match else 0
