"""What must be on the disk before the next step: the name of a file is in its folder, and a power cut may lose it."""

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to its disk; where the file system cannot do that (some network ones), nothing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(str(folder), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
