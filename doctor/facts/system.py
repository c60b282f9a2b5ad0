"""The operating system beyond host.py: soft limits, processor features, memory that is left, interfaces, owners."""

import contextlib
import os
import re
import resource
import stat
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.facts.driver_files import in_loader_cache
from envdoc.doctor.facts.host import group_lines, memory_limit_bytes
from envdoc.doctor.facts.root import machine_path, read_line, read_text
from envdoc.doctor.facts.snapshot import Interpreter
from envdoc.doctor.facts.snapshot_system import System
from envdoc.doctor.facts.storage import home_folder, hub_cache

_LIMITS = ("CPU", "DATA", "FSIZE", "MEMLOCK", "STACK")
_FLAGS = ("sse4_1", "sse4_2", "popcnt", "ssse3", "avx", "avx2", "fma", "avx512f")
_CPUINFO_BYTES = 8192  # the first processor's block; on 128 processors the whole file takes long to make
_CACHE_ENTRIES = 400
_RECLAIMED = ("inactive_file", "active_file", "slab_reclaimable")
_DEVICES = ("/dev/null", "/dev/urandom")


def system(environ: Mapping[str, str], told: Interpreter) -> System:
    """Everything at once; a field stays at its default where a file does not tell."""
    memory = _fields("/proc/meminfo")
    home = home_folder(environ)
    model, flags = _processor()
    limit, committed = memory.get("CommitLimit"), memory.get("Committed_AS")
    return System(
        limits=_limits(),
        libc=_libc(),
        cpu_model=model,
        cpu_flags=flags,
        memory_available_bytes=_memory_left(memory.get("MemAvailable")),
        huge_pages_bytes=memory.get("HugePages_Total", 0) * memory.get("Hugepagesize", 0),
        overcommit_memory=_number("/proc/sys/vm/overcommit_memory"),
        commit_left_bytes=limit - committed if limit is not None and committed is not None else None,
        processes_left=_processes_left(),
        network_interfaces=_names("/sys/class/net"),
        has_cpp_runtime=_has_cpp_runtime(environ, told),
        user_id=os.getuid(),
        home_owner_id=_owner(home),
        foreign_cache_entries=_foreign_entries(hub_cache(environ, home)),
        unwritable_devices=_broken_devices(),
    )


def _limits() -> Dict[str, int]:
    """Soft limits of this process that are not "unlimited": bytes, or seconds for cpu."""
    pairs = ((name, resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0]) for name in _LIMITS)
    return {name.lower(): value for name, value in pairs if value != resource.RLIM_INFINITY}


def _fields(path: str) -> Dict[str, int]:
    """Names and values of /proc/meminfo; those in kB as bytes."""
    rows = re.findall(r"^(\w+):\s+(\d+)( kB)?$", read_text(path), re.MULTILINE)
    return {name: int(value) * (1024 if unit else 1) for name, value, unit in rows}


def _number(path: str) -> Optional[int]:
    text = read_line(path)
    return int(text) if text.isdecimal() else None


def _names(folder: str) -> Tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in machine_path(folder).iterdir()))
    except OSError:
        return ()


def _libc() -> str:
    with contextlib.suppress(ValueError, OSError):
        if (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return "glibc"
    try:
        return "musl" if any(machine_path("/lib").glob("ld-musl-*")) else ""
    except OSError:
        return ""


def _processor() -> Tuple[str, Optional[Tuple[str, ...]]]:
    text = read_text("/proc/cpuinfo", _CPUINFO_BYTES)
    model = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    flags = re.search(
        r"^flags\s*:\s*(.*)\n", text, re.MULTILINE
    )  # with its end: a line cut short says nothing
    told = model.group(1).strip() if model else ""
    if flags is None:
        return told, None
    has = set(flags.group(1).split())
    return told, tuple(name for name in _FLAGS if name in has)


def _memory_left(available: Optional[int]) -> Optional[int]:
    """What is left of the machine's memory, or of the control group's limit where that is less."""
    limit = memory_limit_bytes()
    if available is None or limit is None:
        return available
    used = _first_number(
        [*group_lines("memory", "memory.current"), *group_lines("memory", "memory.usage_in_bytes")]
    )
    if used is None:
        return available
    stat_text = read_text("/sys/fs/cgroup/memory.stat") or read_text("/sys/fs/cgroup/memory/memory.stat")
    # What files are cached with is counted as used, and is had back as soon as it is needed.
    rows: Dict[str, str] = dict(re.findall(r"^(\w+) (\d+)$", stat_text, re.MULTILINE))
    cached = sum(int(rows.get("total_" + name) or rows.get(name) or "0") for name in _RECLAIMED)
    return max(0, min(available, limit - used + cached))


def _processes_left() -> Optional[int]:
    """The least that pids.max leaves, of this process's control group and those above it."""
    most, now = group_lines("pids", "pids.max"), group_lines("pids", "pids.current")
    left = [int(a) - int(b) for a, b in zip(most, now) if a.isdecimal() and b.isdecimal()]
    return min(left, default=None)


def _first_number(lines: List[str]) -> Optional[int]:
    return next((int(line) for line in lines if line.isdecimal()), None)


def _has_cpp_runtime(environ: Mapping[str, str], told: Interpreter) -> Optional[bool]:
    """libstdc++.so.6 as the loader finds it: its cache, its own folders, LD_LIBRARY_PATH, conda's prefix."""
    if in_loader_cache("libstdc++.so.6"):
        return True
    folders = [machine_path(f) for f in ("/lib", "/usr/lib", "/lib64", "/usr/lib64")]
    folders += [machine_path(f"/usr/lib/{m}-linux-gnu") for m in ("x86_64", "aarch64")]
    folders += [Path(entry) for entry in environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    folders += [Path(prefix) / "lib" for prefix in (told.prefix, told.base_prefix) if prefix]
    if any((folder / "libstdc++.so.6").exists() for folder in folders):
        return True
    # A machine that keeps its libraries somewhere else altogether (Nix) has no cache, and is not judged.
    return False if in_loader_cache("libc.so.6") else None


def _owner(folder: Path) -> Optional[int]:
    try:
        return folder.stat().st_uid
    except OSError:
        return None


def _foreign_entries(cache: Path) -> int:
    """Entries of the hub's cache and its .locks that belong to somebody else and are closed to this user."""
    count, me = 0, os.getuid()
    if me == 0:
        return 0
    for folder in (cache, cache / ".locks"):
        try:
            entries = list(os.scandir(folder))[:_CACHE_ENTRIES]
            count += sum(
                entry.stat().st_uid != me and not os.access(entry.path, os.W_OK) for entry in entries
            )
        except OSError:
            continue
    return count


def _broken_devices() -> Tuple[str, ...]:
    """/dev/null overwritten by a file (`mv x /dev/null`) or closed: many programs then stop, or fill the disk."""
    broken = []
    for name in _DEVICES:
        try:
            mode = machine_path(name).stat().st_mode
        except FileNotFoundError:
            continue
        except OSError:
            mode = 0
        if not stat.S_ISCHR(mode) and not os.environ.get("ENVDOC_ROOT"):
            broken.append(name)
    return tuple(broken)
