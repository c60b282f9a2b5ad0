"""Whether the disks hold a new environment: bytes and inodes, in envdoc's folder and in the installer's cache.

uv unpacks into its cache and links the files into the environment, so that on one disk both take the room once; on
two disks each has a copy. pip keeps the wheels in its cache and in the build's temporary folder until the end.
"""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError, FixError

# The environment's own pip, compiled files, probes; and a file system's last blocks.
MARGIN_BYTES = 300_000_000
# 24,700 files for 52 packages were counted (storage_floors.toml); pip's own 900, compiled files and folders beside
# them; rounded up. Files that uv links have one inode for the cache and the environment together, folders two.
FILES = 40_000


@dataclass(frozen=True)
class Room:
    """A folder that a build writes to: what it needs at the fullest, and what its disk has free (None: not counted)."""

    purpose: str  # "environment" or "cache"
    folder: str
    needed_bytes: int
    free_bytes: Optional[int]
    needed_files: int = 0
    free_files: Optional[int] = None

    @property
    def lacks(self) -> str:
        """What is too little, in words; empty where there is enough."""
        if self.free_bytes is not None and self.free_bytes < self.needed_bytes:
            return f"{_gigabytes(self.needed_bytes)}, and {_gigabytes(self.free_bytes)} are free"
        if self.free_files is not None and self.free_files < self.needed_files:
            return f"room for {self.needed_files:,} files, and its file system has {self.free_files:,} inodes free"
        return ""

    def to_json(self) -> Dict[str, Any]:
        """The folder and its numbers as plain data."""
        return {**asdict(self), "lacks": self.lacks or None}


def rooms(
    home: Path, cache: Optional[Path], installer: str, download_bytes: int, venv_bytes: int
) -> Tuple[Room, ...]:
    """Each disk that is written to, with what a build of these sizes needs of it.

    `cache` is the folder of the installer's cache; None where it keeps none, or where it is not known.
    """
    shared = cache is None or _device(cache) == _device(home)
    both = venv_bytes + MARGIN_BYTES
    if installer == "pip":
        here = both + (2 if shared and cache is not None else 1) * download_bytes
        there, files = download_bytes + MARGIN_BYTES, 1000
    else:
        here = both + (download_bytes if shared else 0)
        there, files = both + download_bytes, FILES
    found = [_room("environment", home, here, FILES)]
    if cache is not None and not shared:
        found.append(_room("cache", cache, there, files))
    return tuple(found)


def demand(found: Sequence[Room], installer: str) -> None:
    """Raise FixError where a disk is too small, naming both numbers, the folder and the way out."""
    short = next((room for room in found if room.lacks), None)
    if short is None:
        return
    variable = "UV_CACHE_DIR" if installer == "uv" else "PIP_CACHE_DIR"
    if short.purpose == "cache":
        raise FixError(
            f"The new environment needs, for {installer}'s cache in `{short.folder}`, {short.lacks}. "
            "Nothing was changed.",
            f"Make room there, or set {variable} to a folder on a larger disk, best that of ENVDOC_HOME.",
        )
    raise FixError(
        f"The new environment needs {short.lacks} on the disk of `{short.folder}`. Nothing was changed.",
        "Make room (`envdoc gc` removes unused generations), or set ENVDOC_HOME to a folder on a larger disk.",
    )


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
    return shutil.disk_usage(str(nearest(home))).free


def tree_bytes(folder: Path) -> int:
    """The sizes of all files under the folder; what disappears meanwhile counts nothing."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
                    except OSError:
                        continue
        except OSError:
            continue
    return total


def cache_folder(
    installer: str, program: Optional[str], environ: Optional[Mapping[str, str]] = None
) -> Optional[Path]:
    """Where that installer keeps its cache by its variables and defaults; nothing is started but `uv cache dir`.

    pip's own configuration may name another folder, which is not asked for here: that takes half a second.
    """
    values = os.environ if environ is None else environ
    base = Path(values.get("XDG_CACHE_HOME") or Path(values.get("HOME") or "/") / ".cache")
    if installer == "pip":
        if values.get("PIP_NO_CACHE_DIR"):
            return None
        return Path(values.get("PIP_CACHE_DIR") or base / "pip")
    if values.get("UV_NO_CACHE"):
        return None
    if values.get("UV_CACHE_DIR") or program is None:
        return Path(values.get("UV_CACHE_DIR") or base / "uv")
    try:
        told = run([program, "cache", "dir"], 10.0)
    except EnvdocError:
        return base / "uv"
    return Path(told.stdout.strip()) if told.ok and told.stdout.strip() else base / "uv"


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))


def _room(purpose: str, folder: Path, needed_bytes: int, needed_files: int) -> Room:
    place = str(nearest(folder))
    try:
        free: Optional[int] = shutil.disk_usage(place).free
        told = os.statvfs(place)
        files = told.f_favail if told.f_files else None  # btrfs and many network disks count none
    except OSError:
        free = files = None
    return Room(purpose, str(folder), needed_bytes, free, needed_files, files)


def _device(folder: Path) -> int:
    return nearest(folder).stat().st_dev


def _gigabytes(count_bytes: int) -> str:
    return f"{count_bytes / 1e9:.2f} GB"
