"""One envdoc at a time in a folder: `flock` where the file system has it, a lock file of our own where not.

`flock` ends with its process, however that ends, and is therefore the first choice. A network file system without
a lock service answers ENOLCK or "not supported" (NFS without lockd, some FUSE file systems). There, `lock.held` is
created exclusively, which every file system does in one step and which needs no hard links. It names host, boot and
process, so that one that was left behind is recognised on the same machine; that of another machine never is.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Dict, Iterator, Optional

from envdoc.doctor.errors import FixError

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_ATTEMPTS = 5


@contextlib.contextmanager
def held(home: Path) -> Iterator[None]:
    """Hold the folder alone; it is made where it is missing. Raises FixError where that cannot be."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = _flock(home)
    except OSError as error:
        raise cannot_write(home, error) from error
    if descriptor is not None:
        try:
            yield
        finally:
            os.close(descriptor)
        return
    own = _identity()
    try:
        _create(home, own)
    except OSError as error:
        raise cannot_write(home, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if _read(home / "lock.held") == own:
                (home / "lock.held").unlink()


def cannot_write(home: Path, error: OSError) -> FixError:
    """The sentence for a folder that is read-only, full, somebody else's, or no folder at all."""
    return FixError(
        f"envdoc's folder `{home}` cannot be written: {error.strerror or error}. Nothing was changed.",
        "Set ENVDOC_HOME to a folder of yours on a disk with room.",
    )


def _flock(home: Path) -> Optional[int]:
    """The descriptor that holds the lock; None where this file system knows no such lock. Raises FixError, OSError."""
    path = home / "lock"
    for _ in range(_ATTEMPTS):
        descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                return None
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                raise
            raise _at_work(home, f"process {holder or 'unknown'}") from error
        if _is_still(path, descriptor):
            with contextlib.suppress(OSError):  # a full disk: `gc` must work there; only the name is missing
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            return descriptor
        os.close(descriptor)  # the file was removed or replaced meanwhile: a lock on it would hold off nobody
    raise OSError(errno.EAGAIN, "its lock file is being replaced all the time", str(path))


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _create(home: Path, own: Dict[str, str]) -> None:
    """`lock.held` made by us alone. Raises FixError where somebody else's is there, OSError where it cannot be made."""
    path = home / "lock.held"
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            _clear(home, path)
            continue
        try:
            os.write(descriptor, json.dumps(own).encode())
            os.fsync(descriptor)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        return
    raise _at_work(home, "another process")


def _clear(home: Path, path: Path) -> None:
    """Take a lock file that was left behind out of the way. Raises FixError where it is not known to be one."""
    held_by = _read(path)
    if held_by is None:
        if not path.exists():
            return
        raise FixError(
            f"`{path}` is there and does not say which envdoc holds it.",
            f"If none is at work, remove it: `rm '{path}'`.",
        )
    own = _identity()
    who = f"process {held_by.get('pid')} on {held_by.get('host')}"
    if any(held_by.get(key) != own[key] for key in ("host", "machine")):
        raise FixError(
            f"Another envdoc ({who}) is at work in `{home}`, or was ended there; this machine cannot tell.",
            f"If it has ended, remove its lock: `rm '{path}'`.",
        )
    if held_by.get("boot") == own["boot"]:
        if (
            held_by.get("processes") != own["processes"]
        ):  # another container of this machine: its ids mean nothing here
            raise FixError(
                f"Another envdoc ({who}, another container) is at work in `{home}`, or was ended there.",
                f"If it has ended, remove its lock: `rm '{path}'`.",
            )
        started = _started(held_by.get("pid", ""))
        if started is not None and started == held_by.get("started"):
            raise _at_work(home, who)
    aside = path.with_name(f"lock.stale-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):  # another envdoc was quicker
        path.rename(aside)
        if _read(aside) != held_by and not path.exists():  # a new one, made since we looked: give it back
            aside.rename(path)
            raise _at_work(home, "another process")
        aside.unlink()


def _read(path: Path) -> Optional[Dict[str, str]]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and told.get("pid") else None


def _identity() -> Dict[str, str]:
    """Host, machine, boot, process namespace, process and its start: together they never come twice."""
    return {
        "host": socket.gethostname(),
        "machine": _first_line("/etc/machine-id"),
        "boot": _first_line("/proc/sys/kernel/random/boot_id"),
        "processes": _link("/proc/self/ns/pid"),
        "pid": str(os.getpid()),
        "started": _started(str(os.getpid())) or "",
    }


def _started(pid: str) -> Optional[str]:
    """When that process started, in ticks since the boot; None where it is gone."""
    if not pid.isdigit():
        return None
    try:
        text = Path("/proc", pid, "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else None


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _at_work(home: Path, who: str) -> FixError:
    return FixError(
        f"Another envdoc ({who}) is at work in `{home}`.",
        "Wait until it has ended, or use another folder with ENVDOC_HOME.",
    )
