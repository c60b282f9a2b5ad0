"""Settings that `envdoc run`, `shell` and `train` take over: variables set, unset or shortened, and folders made.

They live in `variables.json` of envdoc's own folder, one receipt an `envdoc fix --apply`, the newest last; nothing of
the user's shell changes. A step holds only while its variable has the value that the finding was about (or is not
set, where it was not): whoever corrects the variable in the shell is obeyed at once. Of that value only a digest is
kept, since it may be a token.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, MutableMapping, Optional, Sequence, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.journal import now

FILE = "variables.json"
KINDS = ("set", "unset", "drop", "folder")


@dataclass(frozen=True)
class Step:
    """One thing that is done in place.

    `what` is "set" (`name`=`value`), "unset" (`name`), "drop" (the entry `value` out of the list in `name`) or
    "folder" (`name` is the path of a folder to make). `seen` is the digest of the variable's value when the finding
    was made, None where it was not set; a "drop" holds for any value that has the entry.
    """

    what: str
    name: str
    value: str = ""
    seen: Optional[str] = None

    def text(self) -> str:
        """The step in words, as the plan shows it."""
        if self.what == "set":
            return f"set variable {self.name}={self.value}"
        if self.what == "drop":
            return f"take {self.value} out of variable {self.name}"
        return f"unset variable {self.name}" if self.what == "unset" else f"make folder {self.name}"

    def to_json(self) -> Dict[str, Any]:
        """The step as plain data."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Receipt:
    """What one `envdoc fix --apply` settled: for which codes, with which steps, and which folders it made."""

    at: str
    codes: Tuple[str, ...]
    steps: Tuple[Step, ...]
    made: Tuple[str, ...] = ()


def digest(value: Optional[str]) -> Optional[str]:
    """What is kept of a variable's value; None for one that is not set."""
    return None if value is None else hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def receipts(home: Path) -> Tuple[Receipt, ...]:
    """What was settled, oldest first. Raises FixError where the file is damaged."""
    path = home / FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return tuple(_receipt(entry) for entry in told["applied"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FixError(
            f"envdoc's settings `{path}` cannot be read: {type(error).__name__}: {error}.",
            f"Take them out of use with `mv {path} {path}.broken`, then run `envdoc fix` again.",
        ) from error


def use(environ: MutableMapping[str, str], home: Path) -> Tuple[Step, ...]:
    """Put every setting that holds into `environ`; the steps that changed something. Raises FixError as `receipts`."""
    done = []
    for receipt in receipts(home):
        for step in receipt.steps:
            if _applied(step, environ):
                done.append(step)
    return tuple(done)


def settle(home: Path, codes: Sequence[str], steps: Sequence[Step]) -> Receipt:
    """Write one more receipt, then make its folders. The caller holds envdoc's lock.

    The file is replaced in one step: a crash leaves the former settings or the new ones. Folders are recorded before
    they are made, so that an undo knows of each. Raises FixError, with the former settings back, where either fails.
    """
    before = receipts(home)
    missing = tuple(path for step in steps if step.what == "folder" for path in _missing(Path(step.name)))
    receipt = Receipt(now(), tuple(codes), tuple(steps), tuple(dict.fromkeys(missing)))
    _write(home, (*before, receipt))
    try:
        for step in steps:
            if step.what == "folder":
                Path(step.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _unmake(receipt.made)
        _write(home, before)
        raise FixError(
            f"The folder `{error.filename}` cannot be made: {error.strerror}. The settings are as they were.",
            "Make it yourself, or set the variable to a folder of yours.",
        ) from error
    return receipt


def undo(home: Path) -> Optional[Receipt]:
    """Take the newest receipt back; the folders that it made go where they are still empty. None: there is none.

    The caller holds envdoc's lock.
    """
    every = receipts(home)
    if not every:
        return None
    _write(home, every[:-1])
    _unmake(every[-1].made)
    return every[-1]


def keep_only(home: Path, codes: Sequence[str], steps: Sequence[Step]) -> None:
    """Leave of the newest receipt only these codes and steps: the others did not help. The caller holds the lock."""
    *before, last = receipts(home)
    if not steps:
        undo(home)
        return
    folders = {path for step in steps if step.what == "folder" for path in _with_parents(step.name)}
    gone = tuple(path for path in last.made if path not in folders)
    made = tuple(path for path in last.made if path in folders)
    _write(home, (*before, dataclasses.replace(last, codes=tuple(codes), steps=tuple(steps), made=made)))
    _unmake(gone)


def _applied(step: Step, environ: MutableMapping[str, str]) -> bool:
    value = environ.get(step.name)
    if step.what == "folder":
        return False
    if step.what == "drop":
        separator = "[: ]" if step.name == "LD_PRELOAD" else ":"
        entries = _entries(value or "", separator)
        kept = [entry for entry in entries if entry.rstrip("/") != step.value.rstrip("/")]
        if len(kept) == len(entries):
            return False
        if kept:
            environ[step.name] = ":".join(kept)
        else:
            del environ[step.name]
        return True
    if digest(value) != step.seen:
        return False
    if step.what == "set":
        environ[step.name] = step.value
    elif value is not None:
        del environ[step.name]
    return True


def _entries(value: str, separator: str) -> List[str]:
    text = value.replace(" ", ":") if separator != ":" else value
    return [entry for entry in text.split(":") if entry]


def _missing(folder: Path) -> List[str]:
    """The folder and those above it that are not there, outermost first."""
    return [str(path) for path in reversed((folder, *folder.parents)) if not path.exists()]


def _with_parents(folder: str) -> List[str]:
    return [folder, *(str(parent) for parent in Path(folder).parents)]


def _unmake(folders: Sequence[str]) -> None:
    for folder in reversed(folders):
        with contextlib.suppress(OSError):  # something was put there since: it stays
            Path(folder).rmdir()


def _receipt(entry: Mapping[str, Any]) -> Receipt:
    steps = tuple(Step(**step) for step in entry["steps"])
    if any(step.what not in KINDS for step in steps):
        raise ValueError("a step of an unknown kind, of a newer envdoc")
    return Receipt(entry["at"], tuple(entry["codes"]), steps, tuple(entry["made"]))


def _write(home: Path, every: Sequence[Receipt]) -> None:
    path = home / FILE
    temporary = home / f".{FILE}-{os.getpid()}"
    text = json.dumps(
        {"schema_version": 1, "applied": [dataclasses.asdict(receipt) for receipt in every]}, indent=2
    )
    try:
        if not every:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        home.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(str(temporary), os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise FixError(
            f"envdoc's settings `{path}` cannot be written: {error.strerror or error}. They are as they were.",
            "Make room on that disk, or set ENVDOC_HOME to a folder of yours.",
        ) from error
