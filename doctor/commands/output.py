"""Where a command's words go: one document to standard output or to a file, progress to standard error."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import List

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.printable import printable


def announce(line: str) -> None:
    """A line of progress, on standard error."""
    from envdoc.doctor.redact import redact

    if sys.stderr is None:  # print would take standard output instead
        return
    try:
        print(printable(redact(line)), file=sys.stderr, flush=True)
    except (
        OSError
    ):  # `2>&1 | head`, a terminal that is gone, a full disk: a build must not end for want of a listener
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def write(text: str) -> None:
    """One document on standard output, whatever its encoding can carry."""
    if sys.stdout is None:  # `envdoc check >&-`
        raise EnvdocError(
            "Standard output is closed, so that there is no place for the report.",
            "Write it to a file with `-o FILE`, where the command has that, or to `/dev/null`.",
        )
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def one_of(option: str, value: str, allowed: List[str]) -> None:
    """Raise EnvdocError where the value of that option is not allowed."""
    if value not in allowed:
        raise EnvdocError(f"`{option} {value}` is none of {', '.join(allowed)}.")


def tell_broken_plugins() -> None:
    """A line for each plug-in that was left out."""
    from envdoc.doctor.rules.plugins import plugins

    for line in plugins().broken:
        announce(f"warning: {line}")


def save(text: str, path: Path) -> None:
    """The document in that file, whole or not at all: whoever reads it meanwhile has the old one.

    What is no ordinary file (a pipe, /dev/stdout) is written to as it is. Raises EnvdocError where it cannot be.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8", errors="replace")
        else:
            _replace(text, path)
    except OSError as error:
        reason = error.strerror or error
        raise EnvdocError(f"`{path}` could not be written: {reason}.", "Nothing was left there.") from error
    announce(f"Wrote {path}.")


def _replace(text: str, path: Path) -> None:
    target = Path(os.path.realpath(path))  # a link stays one
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
