"""The folders that a training run writes to: room, inodes, file system, mount options."""

import os
from pathlib import Path
from typing import List, Mapping, NamedTuple, Optional, Tuple

from envdoc.doctor.facts.root import machine_path, read_text
from envdoc.doctor.facts.snapshot import Storage
from envdoc.doctor.home import home as envdoc_home


class Mount(NamedTuple):
    """A line of /proc/self/mounts."""

    folder: str
    file_system: str
    options: Tuple[str, ...]


def storage(environ: Mapping[str, str], work: Path) -> Tuple[Storage, ...]:
    """One Storage a purpose. Of a folder that is not there yet, the room is that of the nearest one above it."""
    mounted = mounts()
    home = home_folder(environ)
    folders = (
        ("home", home),
        ("cache", hub_cache(environ, home)),
        ("tmp", Path(next((environ[v] for v in ("TMPDIR", "TEMP", "TMP") if environ.get(v)), "/tmp"))),
        ("work", work),
        ("envdoc", envdoc_home({"ENVDOC_HOME": str(home / ".envdoc"), **environ})),
        ("shm", machine_path("/dev/shm")),
    )
    return tuple(_storage(purpose, folder, mounted) for purpose, folder in folders)


def home_folder(environ: Mapping[str, str]) -> Path:
    """HOME, else what the system knows of this user; / for a number that nobody has."""
    try:
        return Path(environ.get("HOME") or "~").expanduser()
    except RuntimeError:  # a container that runs as a number nobody has: there is no home
        return Path("/")


def hub_cache(environ: Mapping[str, str], home: Path) -> Path:
    """Where huggingface_hub keeps models (its constants.py: HF_HUB_CACHE, its older name, HF_HOME, XDG)."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(name):
            return Path(environ[name]).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser() / "hub"
    base = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "huggingface" / "hub"


def _storage(purpose: str, folder: Path, mounted: List[Mount]) -> Storage:
    name = "/dev/shm" if purpose == "shm" else str(folder)
    present = nearest(folder)
    if present is None:
        return Storage(purpose, name)
    # A link is judged where it leads; /dev/shm by its own name, since ENVDOC_ROOT may have moved it.
    mount = mount_of(name if purpose == "shm" else str(present.resolve()), mounted)
    try:
        room = os.statvfs(present)
    except OSError:  # a network disk whose server is gone
        return Storage(purpose, name, exists=folder.is_dir())
    return Storage(
        purpose=purpose,
        path=name,
        exists=folder.is_dir(),
        writable=os.access(present, os.W_OK | os.X_OK),
        total_bytes=room.f_blocks * room.f_frsize,
        free_bytes=room.f_bavail * room.f_frsize,
        free_inodes=room.f_favail if room.f_files else None,  # btrfs and many network disks count none
        file_system=mount.file_system if mount else "",
        noexec="noexec" in mount.options if mount else False,
    )


def nearest(folder: Path) -> Optional[Path]:
    """The folder, or the nearest one above it that is there."""
    for candidate in (folder, *folder.absolute().parents):
        if candidate.is_dir():
            return candidate
    return None


def mounts() -> List[Mount]:
    """Everything that is mounted, in the order of mounting."""
    rows = (line.split() for line in read_text("/proc/self/mounts").splitlines())
    return [Mount(_unescaped(row[1]), row[2], tuple(row[3].split(","))) for row in rows if len(row) > 3]


def mount_of(path: str, mounted: List[Mount]) -> Optional[Mount]:
    """The deepest mount that holds the path; of several on one folder the last, which covers the others."""
    holding = [
        mount for mount in mounted if path == mount.folder or path.startswith(mount.folder.rstrip("/") + "/")
    ]
    return max(enumerate(holding), key=lambda pair: (len(pair[1].folder), pair[0]))[1] if holding else None


def _unescaped(field: str) -> str:
    r"""The kernel writes a space in a mount point as \040, a tab as \011, a backslash as \134."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escape, character)
    return field
