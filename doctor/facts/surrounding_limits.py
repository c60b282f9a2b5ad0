"""Limits and leftovers around a run: accelerate's configuration, Python's headers, processes, processor time, dates."""

import os
import re
import resource
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.facts.root import read_line
from envdoc.doctor.facts.snapshot import Interpreter, Package
from envdoc.doctor.facts.surroundings import AccelerateConfig
from envdoc.doctor.files import read_text

_FLAT = re.compile(r"^([a-z][a-z0-9_]*):[ \t]+(\S.*?)[ \t]*(?:#.*)?$", re.MULTILINE)
_KEY = re.compile(r"^[\"']?([A-Za-z_][\w-]*)[\"']?:(?=\s|$)", re.MULTILINE)
_NAMED_FILE = re.compile(r"^\s+(deepspeed_config_file|deepspeed_hostfile):[ \t]+(\S+)[ \t]*$", re.MULTILINE)
_FIELD = re.compile(r"^    ([a-z_0-9]+): ", re.MULTILINE)
_CONFIG_LIMIT_BYTES = 1 << 16
_QUOTES = "'\""


def accelerate_config(
    environ: Mapping[str, str], home: Path, packages: Sequence[Package] = ()
) -> Optional[AccelerateConfig]:
    """What `accelerate launch` reads where no other file is named (accelerate, commands/config/config_args.py)."""
    base = Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface"
    folder = Path(environ.get("HF_HOME") or base).expanduser() / "accelerate"
    path = folder / "default_config.yaml"
    try:
        text = read_text(path, _CONFIG_LIMIT_BYTES)
    except OSError:
        return None
    values: Dict[str, str] = {key: value.strip(_QUOTES) for key, value in _FLAT.findall(text)}
    named = [(key, value.strip(_QUOTES)) for key, value in _NAMED_FILE.findall(text)]
    return AccelerateConfig(
        str(path),
        values,
        keys=tuple(_KEY.findall(text)),
        known_keys=_known_keys(packages),
        problem=_yaml_problem(text),
        missing_files=tuple(f"{key}: {file}" for key, file in named if _is_gone(file)),
    )


def _is_gone(file: str) -> bool:
    """A relative name is looked for where the run starts, which is not known here."""
    return file.startswith(("/", "~")) and not Path(file).expanduser().exists()


def _yaml_problem(text: str) -> str:
    """What no YAML reader takes for a mapping; not a parser, and silent on everything that it is not sure of."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not [line for line in lines if line.strip() not in ("---", "...")]:
        return "it is empty"
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("<<<<<<<", ">>>>>>>")):
            return f"line {number} is a mark of a merge conflict"
        if line[: len(line) - len(line.lstrip())].count("\t") and line.strip():
            return f"line {number} is indented by a tab"
    if lines[0].lstrip().startswith("{"):
        return ""
    if not any(_KEY.match(line) for line in lines):
        return "it has no key"
    return ""


def _known_keys(packages: Sequence[Package]) -> Tuple[str, ...]:
    """The fields of ClusterConfig and its base in the installed accelerate; SageMaker's too."""
    package = next((p for p in packages if p.name == "accelerate"), None)
    if package is None or package.editable:
        return ()
    source = Path(package.location) / "accelerate" / "commands" / "config" / "config_args.py"
    try:
        text = source.read_text("utf-8", "replace")
    except OSError:
        return ()
    return tuple(dict.fromkeys(_FIELD.findall(text))) if "class ClusterConfig" in text else ()


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
