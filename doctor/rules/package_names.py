"""Rules about which packages are there by name and by build label: wrong ones, and builds for another torch or CUDA."""

import re
from typing import List, NamedTuple, Optional, Tuple

from envdoc.doctor.facts.snapshot import Package, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.integrity import reinstall
from envdoc.doctor.rules.machine import (
    require_packages,
    require_torch,
    shorten,
    torch_name,
    uninstall_command,
)
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import needs, training_packages
from envdoc.doctor.tables.versions import numbers, parsed, public
from envdoc.doctor.tables.wrong_packages import wrong_packages

_COMPANIONS = ("torch", "torchvision", "torchaudio")  # TOR008 speaks about these
# "+cu118", "+cu12torch2.6cxx11abiFALSE", "+pt20cu117" (torch-scatter), "+torch2.4"; not jaxlib's "+cuda12.cudnn89".
_CUDA = re.compile(r"cu(\d{2,3})(?!\d)")
_TORCH = re.compile(r"(?:torch|pt)(\d)\.?(\d{1,2})")
_STACK = ("transformers", "peft", "accelerate")
_NVIDIA = re.compile(r"nvidia-(.+)-cu(\d+)$")


class _Label(NamedTuple):
    cuda: Optional[int]  # the major, 12 for "cu121" and "cu12"
    torch: Optional[Tuple[int, int]]


@rule("PKG035")
def wrong_package(machine: Snapshot) -> List[Problem]:
    """A package of that name is not the one that was meant."""
    require_packages(machine)
    problems = []
    for row in wrong_packages():
        package = machine.package(row.name)
        if package is None or package.installer == "conda":  # conda's pytorch is torch
            continue
        has_both = bool(row.overwrites) and machine.package(row.overwrites) is not None
        values = {
            "name": shorten(f"{row.name} {package.version}", 34),
            "instead": shorten(row.instead, 30),
            "why": row.why,
            "consequence": f"; {row.overwrites} is installed as well, and whichever came last has its files there"
            if has_both
            else "",
        }
        commands = [uninstall_command(machine, row.name)]
        if row.overwrites:
            commands.append(reinstall(machine, row.overwrites))
        affects = (row.name, row.overwrites) if row.overwrites else (row.name,)
        problems.append(
            Problem(values, (package.location,), affects, Severity(row.severity), commands=tuple(commands))
        )
    return problems


@rule("PKG036")
def build_of_another_torch(machine: Snapshot) -> List[Problem]:
    """A package whose version says that it was built for another CUDA or another torch than the one that is there."""
    torch = require_torch(machine)
    require_packages(machine)
    own_cuda = numbers(torch.cuda)[0] if torch.cuda else None
    own_torch = tuple(numbers(public(torch.version))[:2])
    problems = []
    for package in machine.packages:
        label = _label(package)
        if label is None or package.name in _COMPANIONS:
            continue
        told = []
        if label.torch is not None and label.torch != own_torch:
            told.append("torch " + ".".join(map(str, label.torch)))
        if label.cuda is not None and label.cuda != own_cuda and not torch.hip:
            told.append(f"CUDA {label.cuda}")
        if told and _rests_on_torch(machine, package):
            values = {
                "name": shorten(f"{package.name} {package.version}", 24),
                "built": ", ".join(told),
                "torch": shorten(torch_name(torch), 20),
                "full": f"{package.name} {package.version}",
            }
            problems.append(Problem(values, (package.location,), affects=(package.name,)))
    return problems


@rule("PKG037")
def cuda_wheels_without_use(machine: Snapshot) -> List[Problem]:
    """NVIDIA's library wheels that nothing requires, beside a torch for the CPU: gigabytes of an earlier install."""
    torch = require_torch(machine)
    require_packages(machine)
    if torch.cuda or torch.hip:
        raise Skip("torch is built for a GPU")
    wheels = [p.name for p in machine.packages if _NVIDIA.match(p.name)]
    if not wheels:
        return []
    wanted = {
        need.name for need in needs(machine.packages, machine.interpreter) if not _NVIDIA.match(need.owner)
    }
    unused = [name for name in wheels if name not in wanted]
    if len(unused) < len(wheels) or not unused:  # JAX, XGBoost or CuPy uses some of them
        return []
    values = {"count": len(unused), "torch": torch_name(torch), "first": unused[0]}
    command = uninstall_command(machine, " ".join(sorted(unused)))
    return [Problem(values, tuple(sorted(unused)), affects=("disk",), commands=(command,))]


@rule("PKG038")
def cuda_wheels_elsewhere(machine: Snapshot) -> List[Problem]:
    """torch's CUDA wheels in another folder than torch: its libraries look for them in ../../nvidia."""
    torch = require_torch(machine)
    require_packages(machine)
    if not torch.cuda or not torch.location:
        raise Skip("torch is built without CUDA, or its folder is not known")
    home = torch.location.rpartition("/")[0]
    wanted = {need.name for need in needs(machine.packages, machine.interpreter) if need.owner == "torch"}
    wheels = [p for p in machine.packages if p.name in wanted and _NVIDIA.match(p.name)]
    here = {package.name for package in wheels if package.location == home}
    away = [package for package in wheels if package.name not in here]
    if not away:
        return []
    values = {"torch": torch_name(torch), "count": len(away), "home": home, "place": away[0].location}
    evidence = tuple(f"{package.name} {package.version} in {package.location}" for package in away[:8])
    return [Problem(values, evidence, affects=("torch",))]


@rule("PKG047")
def version_is_none(machine: Snapshot) -> List[Problem]:
    """A distribution whose version is no version by PEP 440: what compares it raises, and pip passes it over."""
    require_packages(machine)
    training = training_packages(machine.packages, machine.interpreter)
    return [
        Problem(
            {
                "name": shorten(package.name, 30),
                "version": shorten(package.version, 24),
                "place": package.location,
            },
            affects=(package.name,),
            severity=Severity.ERROR if package.name in training else Severity.INFO,
        )
        for package in machine.packages
        if package.version
        and not package.problem
        and parsed(package.version) is None
        and not package.location.startswith(
            "/usr/lib"
        )  # distributions number their own packages as they like
    ]


@rule("PKG048")
def stack_incomplete(machine: Snapshot) -> List[Problem]:
    """torch without all of the libraries that a LoRA is trained with."""
    torch = require_torch(machine)
    require_packages(machine)
    lacking = [name for name in _STACK if machine.package(name) is None]
    if not lacking:
        return []
    values = {
        "torch": torch_name(torch),
        "names": " and ".join(lacking) if len(lacking) < 3 else ", ".join(lacking),
    }
    return [Problem(values, affects=tuple(lacking))]


def _label(package: Package) -> Optional[_Label]:
    if "+" not in package.version:
        return None
    version = parsed(package.version)
    local = version.local if version is not None else package.version.partition("+")[2].lower()
    if not local or local.startswith("nv"):
        return None
    cuda, torch = _CUDA.search(local), _TORCH.search(local)
    if cuda is None and torch is None:
        return None
    return _Label(
        _major(cuda.group(1)) if cuda else None,
        (int(torch.group(1)), int(torch.group(2))) if torch else None,
    )


def _major(digits: str) -> int:
    """12 for "121" and "12"; 9 for "92"."""
    return int(digits[:2]) if len(digits) == 3 or digits[0] == "1" else int(digits[0])


def _rests_on_torch(machine: Snapshot, package: Package) -> bool:
    """Whether it declares torch, or names torch in its label; JAX and PaddlePaddle bring a CUDA of their own."""
    return bool(_TORCH.search(package.version)) or any(
        need.owner == package.name and need.name == "torch"
        for need in needs(machine.packages, machine.interpreter)
    )
