"""Writing a repaired script in place of the old one, which is kept beside it."""

import os
import tempfile
from pathlib import Path

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.files import read_bytes
from envdoc.doctor.script.notebook_text import changed_cells, spliced
from envdoc.doctor.script.reader import Source

SUFFIX = ".envdoc-original"


def as_bytes(source: Source, text: str) -> bytes:
    """The file with that text: a script in its own encoding, a notebook with only its changed cells replaced.

    Raises EnvdocError where a notebook cannot be edited.
    """
    if not source.is_notebook:
        return text.encode(source.encoding)
    try:
        new = {number: after for number, (_, after) in changed_cells(source, text).items()}
        return spliced(source.raw, new)
    except (ValueError, IndexError, KeyError) as error:
        raise EnvdocError(
            f"The notebook `{source.path}` cannot be edited: {error}.",
            "The diff shows what to change by hand.",
        ) from error


def replace_file(source: Source, data: bytes) -> Path:
    """Put `data` in the script's place, whole or not at all; where the original is kept. Raises EnvdocError.

    An original that was kept earlier stays: the next one is numbered.
    """
    path = Path(os.path.realpath(source.path))
    try:
        if read_bytes(path, len(source.raw) + 1) != source.raw:
            raise EnvdocError(f"`{source.path}` changed while it was looked at.", "Run the command again.")
        kept = _keep(path, source.raw)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(path.stat().st_mode & 0o777)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EnvdocError(
            f"`{source.path}` could not be written: {error.strerror or error}.", "It is as it was."
        ) from error
    return kept


def _keep(path: Path, raw: bytes) -> Path:
    """A copy beside the file under a name that nothing has yet."""
    for number in range(1000):
        kept = path.with_name(path.name + SUFFIX + (f".{number}" if number else ""))
        try:
            handle = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if number == 0 and read_bytes(kept, len(raw) + 1) == raw:
                return kept  # put back by its owner, or kept by a run that ended before it wrote
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            os.fsync(file.fileno())
        kept.chmod(path.stat().st_mode & 0o777)
        return kept
    raise OSError("a thousand originals are kept already")
