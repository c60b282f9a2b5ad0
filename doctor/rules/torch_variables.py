"""Rules about torch's own variables: switches for debugging, the allocator's values, the names of its logs."""

import re
from typing import Iterator, List, Optional, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_gpu, require_torch, shorten, torch_name
from envdoc.doctor.rules.registry import Problem, rule
from envdoc.doctor.tables.variable_names import torch_logs as log_names
from envdoc.doctor.tables.versions import satisfies

_LOGS_KNOWN_UP_TO = "<2.14"  # of later releases the table does not know all names
# Debugging switches that change what a run does: the value that turns them on, how bad that is, what happens.
SWITCHES = (
    (
        "CUDA_FORCE_PTX_JIT",
        "error",
        "ignores torch's compiled kernels; its wheels hold no PTX to make others from",
    ),
    (
        "PYTORCH_NO_CUDA_MEMORY_CACHING",
        "warning",
        "asks the driver for memory at every tensor, which is many times slower",
    ),
    ("TRITON_INTERPRET", "warning", "runs kernels of triton line by line in Python"),
    ("TORCHDYNAMO_DISABLE", "info", "turns torch.compile off"),
    ("TORCH_COMPILE_DISABLE", "info", "turns torch.compile off"),
)


@rule("CFG095")
def switches_left_on(machine: Snapshot) -> List[Problem]:
    """Switches for debugging that were left on."""
    require_gpu(machine)
    torch = require_torch(machine)
    problems = []
    for name, severity, effect in SWITCHES:
        value = machine.variables.get(name, "")
        if value.strip().lower() in ("", "0", "false", "off", "no"):
            continue
        level = Severity(severity)
        if name == "CUDA_FORCE_PTX_JIT" and any(a.startswith("compute_") for a in torch.architectures):
            level, effect = Severity.WARNING, "makes every kernel anew from PTX, which takes minutes"
        values = {"name": name, "value": shorten(value, 10), "effect": effect}
        problems.append(Problem(values, (f"{name}={value}",), ("torch",), level, (f"unset {name}",)))
    return problems


@rule("CFG096")
def allocator_values(machine: Snapshot) -> List[Problem]:
    """A value in the allocator's options that torch refuses when the first tensor goes to the GPU."""
    require_gpu(machine)
    torch = require_torch(machine)
    problems = []
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        for option, value in _options(machine.variables.get(name, "")):
            wanted = _refused(option, value)
            if wanted is None:
                continue
            written = shorten(option if value is None else f"{option}:{value}", 36)
            values = {"name": name, "written": written, "wanted": wanted, "torch": torch_name(torch)}
            problems.append(
                Problem(values, (f"{name} has {written}",), ("torch",), commands=(f"unset {name}",))
            )
    return problems


@rule("CFG105")
def torch_logs(machine: Snapshot) -> List[Problem]:
    """TORCH_LOGS with what torch does not take: its import fails."""
    torch = require_torch(machine)
    value = machine.variables.get("TORCH_LOGS", "")
    if not value or satisfies(torch.version, "<2.1"):
        return []
    names = [name.strip().lstrip("+-") for name in value.split(",")]
    unknown = [
        name
        for name in names
        if name not in log_names() and "." not in name and not _is_module(machine, name)
    ]
    if not re.fullmatch(r"(?:[+-]?[\w.]+,\s*)*[+-]?[\w.]+", value):
        what = "that is no list of names"
    elif "help" in (value, value.lstrip("+")):
        what = "it prints its help and stops"
    elif unknown and satisfies(torch.version, _LOGS_KNOWN_UP_TO):
        what = f"there is no log of the name {shorten(unknown[0], 20)}"
    else:
        return []
    values = {"value": shorten(value, 20), "what": what}
    return [Problem(values, (f"TORCH_LOGS={value}",), ("torch",))]


def _is_module(machine: Snapshot, name: str) -> bool:
    """The names of modules are taken as well: those of installed packages, and of Python's own `logging`."""
    return name == "logging" or machine.package(name.replace("_", "-").lower()) is not None


def _options(text: str) -> Iterator[Tuple[str, Optional[str]]]:
    """Pairs of `key:value,key:[a:1,b:2]`; None for the value of an entry without a colon."""
    for part in re.findall(r"[^,\[\]]+(?:\[[^\]]*\])?", text):
        key, colon, value = part.partition(":")
        if key.strip():
            yield key.strip(), value.strip() if colon else None


def _refused(option: str, value: Optional[str]) -> Optional[str]:
    """What the option wants where the value is none that torch takes (its CUDAAllocatorConfig.cpp, 2.0 to 2.13)."""
    if value is None:
        return "a colon between" if "=" in option or " " in option else None
    if option == "expandable_segments":
        return None if value in ("True", "False") else "True or False"
    if option == "max_split_size_mb":
        return None if value.isdecimal() and int(value) >= 20 else "20 or more"
    if option == "garbage_collection_threshold":
        try:
            return None if 0 < float(value) < 1 else "0 to 1"
        except ValueError:
            return "0 to 1"
    if option == "backend":
        return None if value in ("native", "cudaMallocAsync") else "native or cudaMallocAsync"
    return None
