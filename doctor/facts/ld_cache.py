"""Where the loader looks at last: the cache that ldconfig writes, and its built-in folders.

Layout of /etc/ld.so.cache after glibc's sysdeps/generic/dl-cache.h (format "glibc-ld.so.cache1.1", the only one since
2.32; older files carry it behind a table of the old format).
"""

import struct
from functools import lru_cache
from pathlib import Path
from typing import Dict, Tuple

from envdoc.doctor.facts.root import machine_path
from envdoc.doctor.files import open_file

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER_BYTES = 48
_ENTRY = struct.Struct("<iIIIQ")  # flags, name, path, operating system, hardware capabilities
_FLAGS = {"x86_64": 0x0303, "aarch64": 0x0A03, "ppc64le": 0x0503}  # of 64-bit libraries for glibc
_LIMIT_BYTES = 1 << 23
_FOLDERS = {
    "x86_64": ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"),
    "aarch64": ("/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"),
}
_EVERYWHERE = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


def default_folders(machine: str) -> Tuple[Path, ...]:
    """The folders that are built into the loader of Debian's and Red Hat's families."""
    return tuple(machine_path(folder) for folder in (*_FOLDERS.get(machine, ()), *_EVERYWHERE))


def cached(machine: str) -> Dict[str, str]:
    """Library name to path; empty where there is no cache that can be read."""
    return _cached(str(machine_path("/etc/ld.so.cache")), machine)


@lru_cache(maxsize=4)
def _cached(path: str, machine: str) -> Dict[str, str]:
    try:
        with open_file(Path(path)) as file:
            raw = file.read(_LIMIT_BYTES)
    except OSError:
        return {}
    start = raw.find(_MAGIC)
    if start < 0 or len(raw) < start + _HEADER_BYTES:
        return {}
    raw = raw[start:]
    (count,) = struct.unpack_from("<I", raw, len(_MAGIC))
    if _HEADER_BYTES + count * _ENTRY.size > len(raw):
        return {}
    wanted = _FLAGS.get(machine)
    found: Dict[str, str] = {}
    for flags, name, value, _, capabilities in _ENTRY.iter_unpack(
        raw[_HEADER_BYTES : _HEADER_BYTES + count * _ENTRY.size]
    ):
        if flags == wanted and not capabilities:  # others are for some processors only
            found.setdefault(_text(raw, name), _text(raw, value))
    return found


def _text(raw: bytes, start: int) -> str:
    return raw[start : raw.find(b"\0", start)].decode("utf-8", "replace")
