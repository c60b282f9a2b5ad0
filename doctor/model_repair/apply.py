"""The plan carried out: each original kept beside its file, each file replaced whole, and all of it undone again."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import List, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.files import read_bytes
from envdoc.doctor.model_repair.plan import KEPT, MOST_BYTES, Change, ModelPlan

MADE = ".envdoc-made"  # marks a file that was not there before


def apply(plan: ModelPlan) -> Tuple[Path, ...]:
    """Change the files and return the originals that were kept.

    An original that an earlier repair kept is never written over: the earlier one is the older. A file that changed
    since the plan was made is left alone. Raises FixError; then every file is as it was.
    """
    done: List[Change] = []
    kept: List[Path] = []
    try:
        for change in plan.changes:
            _unchanged(change)
            kept.append(_keep(change))
            _replace(change.path, change.after)
            done.append(change)
    except (OSError, FixError) as error:
        for change in done:
            _put_back(change)
        told = error.message if isinstance(error, FixError) else f"`{plan.folder}`: {error.strerror or error}"
        raise FixError(f"{told}. Every file is as it was.".replace("..", ".")) from error
    return tuple(kept)


def undo(folder: Path) -> Tuple[str, ...]:
    """Put every original back that a repair kept; the names of the files. Raises FixError."""
    names = []
    try:
        for path in sorted(folder.glob(f"*{KEPT}")):
            target = path.with_name(path.name[: -len(KEPT)])
            path.replace(target)
            names.append(target.name)
        for path in sorted(folder.glob(f"*{MADE}")):
            target = path.with_name(path.name[: -len(MADE)])
            target.unlink()
            path.unlink()
            names.append(target.name)
    except OSError as error:
        raise FixError(f"`{folder}` could not be put back: {error.strerror or error}.") from error
    return tuple(names)


def _unchanged(change: Change) -> None:
    if change.before is None:
        if change.path.exists():
            raise FixError(f"`{change.path.name}` was made meanwhile")
        return
    if read_bytes(change.path, MOST_BYTES).decode("utf-8", "replace") != change.before:
        raise FixError(f"`{change.path.name}` was changed meanwhile")


def _keep(change: Change) -> Path:
    """A copy of the file beside it, with its time and its rights; for a new file a mark that it is one."""
    if change.before is None:
        mark = change.path.with_name(change.path.name + MADE)
        mark.touch()
        return mark
    original = change.path.with_name(change.path.name + KEPT)
    if original.exists():
        return original
    # A link of the hub's cache leads to a blob that other snapshots share: the copy is of its contents.
    handle, name = tempfile.mkstemp(prefix=f".{original.name}.", dir=original.parent)
    os.close(handle)
    try:
        shutil.copy2(change.path, name)
        os.link(name, original)  # fails where somebody made it meanwhile
    finally:
        Path(name).unlink()
    return original


def _replace(path: Path, text: str) -> None:
    """The file's new text, whole or not at all. A link is replaced by a file: what it led to stays as it is."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def _put_back(change: Change) -> None:
    if change.before is None:
        change.path.unlink()
        change.path.with_name(change.path.name + MADE).unlink()
    else:
        _replace(change.path, change.before)
