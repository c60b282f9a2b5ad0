"""Compiled modules of an earlier generation, linked into a new one whose source files are the very same.

Compiling what a training run imports takes 20 s on two cores, and the source files of two generations that uv
linked from its cache are the same files. Python takes a .pyc for what it says where the modification time and the size
in its header are the source's (PEP 552); the same inode is demanded besides. Python replaces such a file and never
writes into it, so that a link is safe.
"""

import contextlib
import os
import struct
from pathlib import Path
from typing import Iterator, List, Tuple

_HEADER = struct.Struct("<4sIII")  # magic, flags, seconds of the source's time, its size in bytes
_FOLDER = "__pycache__"


def link_bytecode(earlier: Path, new: Path) -> int:
    """Link every valid .pyc of the site-packages `earlier` into `new`, where it is not there; how many were linked.

    A file that cannot be linked is passed over: it would only be compiled again.
    """
    if not earlier.is_dir():
        return 0
    linked = 0
    for folder in _compiled_folders(str(earlier)):
        sources = folder[: -len(_FOLDER)]
        target = str(new) + sources[len(str(earlier)) :]
        if not os.path.isdir(target):  # noqa: PTH112 a Path for each of 3,000 folders doubles the time
            continue
        with contextlib.suppress(OSError):
            os.mkdir(target + _FOLDER)  # noqa: PTH102
        linked += sum(
            _link(folder, name, sources, target) for name in _names(folder) if name.endswith(".pyc")
        )
    return linked


def _link(folder: str, name: str, sources: str, target: str) -> bool:
    source = name.split(".", 1)[0] + ".py"
    goal = os.path.join(target + _FOLDER, name)  # noqa: PTH118
    if os.path.lexists(goal):
        return False
    try:
        old, new = os.stat(sources + source), os.stat(target + source)  # noqa: PTH116
        if (old.st_dev, old.st_ino) != (new.st_dev, new.st_ino):
            return False
        path = os.path.join(folder, name)  # noqa: PTH118
        with open(path, "rb") as file:  # noqa: PTH123
            header = file.read(_HEADER.size)
        if header[4:] != _HEADER.pack(b"", 0, int(new.st_mtime) & 0xFFFFFFFF, new.st_size & 0xFFFFFFFF)[4:]:
            return False
        os.link(path, goal)
        return True
    except (OSError, struct.error):
        return False


def _compiled_folders(folder: str) -> Iterator[str]:
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    if entry.name == _FOLDER:
                        yield entry.path
                    else:
                        folders.append(entry.path)
        except OSError:
            continue


def site_packages(environment: Path) -> Tuple[Path, ...]:
    """The environment's site-packages; one folder, or none where it is broken."""
    return tuple(sorted(environment.glob("lib/python3*/site-packages")))


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []
