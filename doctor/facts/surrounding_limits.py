"""Limits and leftovers around a run: accelerate's configuration, Python's headers, processes, processor time, dates."""

import os
import re
import resource
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

from envdoc.doctor.facts.root import read_line
from envdoc.doctor.facts.snapshot import Interpreter, Package
from envdoc.doctor.facts.surroundings import AccelerateConfig
from envdoc.doctor.files import read_text

_FLAT = re.compile(r"^([a-z][a-z0-9_]*):[ \t]+(\S.*?)[ \t]*(?:#.*)?$", re.MULTILINE)
_CONFIG_LIMIT_BYTES = 1 << 16
_QUOTES = "'\""


def accelerate_config(environ: Mapping[str, str], home: Path) -> Optional[AccelerateConfig]:
    """What `accelerate launch` reads where no other file is named (accelerate, commands/config/config_args.py)."""
    base = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface"
    folder = Path(environ.get("HF_HOME") or base).expanduser() / "accelerate"
    path = folder / "default_config.yaml"
    try:
        text = read_text(path, _CONFIG_LIMIT_BYTES)
    except OSError:
        return None
    values: Dict[str, str] = {key: value.strip(_QUOTES) for key, value in _FLAT.findall(text)}
    return AccelerateConfig(str(path), values)


def has_python_headers(told: Interpreter) -> Optional[bool]:
    """Whether Python.h is where the target's sysconfig says, which is where triton's compilations look for it."""
    minor = ".".join(told.version.split(".")[:2])
    if not told.base_prefix or not minor:
        return None
    name = f"{'pypy' if told.implementation == 'PyPy' else 'python'}{minor}"
    include = Path(told.base_prefix) / "include"
    return any((include / folder / "Python.h").is_file() for folder in (name, name + "t", name + "m"))


def packages_changed_at(packages: Sequence[Package]) -> str:
    """The median time at which the folders of the distributions were last written; empty for fewer than five.

    The median, since one wheel with a strange date says nothing.
    """
    times: List[float] = []
    for folder in dict.fromkeys(package.location for package in packages):
        try:
            entries = [entry for entry in os.scandir(folder) if entry.name.endswith(".dist-info")]
            times += [entry.stat().st_mtime for entry in entries]
        except OSError:
            continue
    if len(times) < 5:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(sorted(times)[len(times) // 2]))


def processes_limit() -> Optional[int]:
    """RLIMIT_NPROC, the threads and processes of this user; None where none is set."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return None if limit == resource.RLIM_INFINITY else limit


def cpu_quota() -> Optional[float]:
    """Processors' worth of time that the control group grants (cgroup 2, else 1); None where it does not limit."""
    quota, _, period = read_line("/sys/fs/cgroup/cpu.max").partition(" ")
    if not period:
        quota = read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period = read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None
