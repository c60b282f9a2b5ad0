"""Reading what lies about: ordinary files only, and never more than is asked for.

Whatever stands where a file should, a named pipe, a device, a folder, a link to itself, is an OSError: opening a pipe
would wait for a writer that never comes, and /dev/zero never ends.
"""

import errno
import io
import os
import stat
from pathlib import Path

LIMIT_BYTES = 1 << 24


def open_file(path: Path) -> io.FileIO:
    """The file opened for reading, unbuffered. Raises OSError where it is missing, closed, or no ordinary file."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, str(error)) from error
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return io.FileIO(number, "rb")
    os.close(number)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, "it is no ordinary file")


def read_bytes(path: Path, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """Up to `limit_bytes` of the file. Raises OSError as `open_file` does."""
    with open_file(path) as file:
        blocks = []
        left = limit_bytes
        while left > 0:
            block = file.read(left)
            if not block:
                break
            blocks.append(block)
            left -= len(block)
    return b"".join(blocks)


def read_text(path: Path, limit_bytes: int = LIMIT_BYTES, encoding: str = "utf-8") -> str:
    """The same, decoded with replacement and with `\\n` for every end of a line."""
    text = read_bytes(path, limit_bytes).decode(encoding, "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
