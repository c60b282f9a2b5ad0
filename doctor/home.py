"""envdoc's own folder: the only place that it writes to without being told a path.

~/.envdoc (or ENVDOC_HOME)
├── current -> envs/0002-cpu-py311-...   the generation that is switched to
├── envs/NNNN-PROFILE-LOCKHASH12/        one generation each: a virtual environment and its receipt
├── replaced.json                        which environments each generation was built in place of
├── variables.json                       settings of `fix`, for run, shell and train; `fix --undo` takes the last back
├── last-check.json                      what the probes of the last check saw, for the plan
├── rate.json                            how fast the last download came
├── tmp/, models/, caches/               folders that a setting points to, where there is one
├── cache/tokens/                       encoded rows of training runs, bounded; written by train/token_store.py
├── wheels/                              parts and wheels of an unfinished installation, to be resumed
├── journal.jsonl                        what was built, switched to, rolled back and removed, and when
└── lock                                 held while a generation is built or switched to
"""

import contextlib
import os
from pathlib import Path
from typing import Mapping, Optional

from envdoc.doctor.errors import EnvdocError


def home(environ: Optional[Mapping[str, str]] = None) -> Path:
    """envdoc's folder, absolute; it need not exist yet. Raises EnvdocError where none can be told."""
    values = os.environ if environ is None else environ
    try:
        folder = Path(values.get("ENVDOC_HOME") or Path.home() / ".envdoc").expanduser().absolute()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            folder.stat()
        return folder
    except RuntimeError as error:
        raise EnvdocError(
            "envdoc's folder cannot be told: this user has no home folder, and HOME is not set.",
            "Set ENVDOC_HOME to a folder of yours.",
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EnvdocError(
            f"ENVDOC_HOME names no folder that can be: {reason}.", "Set it to a shorter path."
        ) from error


def current_python(folder: Path) -> Optional[Path]:
    """The interpreter of the generation that is switched to, or None where there is none.

    It may not start any more: `current_problem` says so.
    """
    python = folder / "current" / "bin" / "python"
    return python if os.path.lexists(str(python)) else None


def current_problem(folder: Path) -> Optional[str]:
    """One sentence where the generation that is switched to has lost its folder or its Python; None otherwise."""
    link = folder / "current"
    try:
        name = Path(os.readlink(str(link))).name
    except OSError:
        return None
    if not link.exists():
        return f"The current generation `{name}` is gone: somebody removed its folder."
    python = link / "bin" / "python"
    if python.exists():
        return None
    if not os.path.lexists(str(python)):
        return f"The current generation `{name}` is damaged: it has no bin/python."
    return f"The current generation `{name}` does not start: its Python `{_last_link(python)}` is gone."


def _last_link(path: Path) -> Path:
    """Where a chain of links ends, whether or not anything is there."""
    for _ in range(40):
        try:
            path = path.parent / os.readlink(str(path))
        except OSError:
            break
    return path
