"""Whether the disk of envdoc's folder has room for an environment."""

import shutil
from pathlib import Path

from envdoc.doctor.errors import FixError


def demand_disk(home: Path, needed_bytes: int) -> None:
    """Raise FixError where the disk has less than that free. Nothing is changed."""
    free = free_bytes(home)
    if free < needed_bytes:
        raise FixError(
            f"The new environment needs {needed_bytes / 1e9:.2f} GB while it is built, and the disk of `{home}` has "
            f"{free / 1e9:.2f} GB free. Nothing was changed.",
            "Make room (`envdoc gc` removes unused generations), or set ENVDOC_HOME to a folder on a larger disk.",
        )


def free_bytes(home: Path) -> int:
    """What the file system that envdoc's folder is on, or will be on, still holds for this user."""
    place = home
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(str(place)).free
