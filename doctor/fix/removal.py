"""What marks a generation's folder, and its removal in an order that leaves nothing that looks whole."""

import contextlib
import shutil
import stat
from pathlib import Path
from typing import Any, Callable

RECEIPT = "envdoc-receipt.json"  # written last
INCOMPLETE = ".incomplete"  # there from the first moment until the receipt is


def remove_folder(folder: Path) -> None:
    """Remove a generation's folder; it is marked incomplete first, whenever this is killed."""
    with contextlib.suppress(OSError):  # a full disk
        (folder / INCOMPLETE).touch()
    with contextlib.suppress(OSError):
        (folder / RECEIPT).unlink()
    shutil.rmtree(str(folder), onerror=_writable_then_again)


def _writable_then_again(function: Callable[..., Any], path: str, error: object) -> None:
    """A folder that a package made read-only is removed too; what still stays is removed by the next run."""
    with contextlib.suppress(OSError):
        item = Path(path)
        for place in (item.parent, item):
            if not place.is_symlink():
                place.chmod(place.stat().st_mode | stat.S_IRWXU)
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            item.unlink()
