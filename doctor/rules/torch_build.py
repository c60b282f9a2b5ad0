"""Rules about the torch that is installed: does this build serve this machine."""

import re
from typing import Dict, List, Optional, Set, Tuple

from envdoc.doctor.facts.snapshot import Snapshot, TorchBuild
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import (
    judged_models,
    require_cuda_torch,
    require_gpu,
    require_interpreter,
    require_torch,
    require_working_driver,
    shorten,
    torch_name,
    version_of,
)
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.torch_builds import torch_release
from envdoc.doctor.tables.versions import fits, numbers, parsed, satisfies

# The first torch that works with NumPy 2 (pytorch/pytorch#132179).
NUMPY_2_SINCE = "2.3"

# Libraries whose file names carry no CUDA major: the wheels for two majors write the same file, the later one wins.
SAME_FILE = ("nccl", "cudnn")


@rule("TOR001")
def torch_missing(machine: Snapshot) -> List[Problem]:
    """No torch in the target: nothing can be trained there."""
    require_interpreter(machine)
    if machine.torch is not None or machine.package("torch") is not None:
        return []
    python = machine.interpreter.version or "of the target"
    return [Problem({"python": shorten(python, 20), "path": machine.interpreter.path}, affects=("training",))]


@rule("TOR002")
def torch_unreadable(machine: Snapshot) -> List[Problem]:
    """torch's files are missing or unreadable: half deleted, or an install that was interrupted."""
    require_interpreter(machine)
    torch, package = machine.torch, machine.package("torch")
    if torch is None and package is None:
        raise Skip("no torch was found")
    if torch is not None and not torch.problem:
        return []
    problem = torch.problem if torch is not None else "the distribution is there, its files are not"
    version = package.version if package is not None else (torch.version if torch is not None else "")
    return [Problem({"version": shorten(version or "?", 24), "problem": problem}, affects=("torch",))]


@rule("TOR003")
def no_kernels_for_gpu(machine: Snapshot) -> List[Problem]:
    """torch has neither a binary nor PTX for a GPU."""
    found = judged_models(machine)
    torch, cuda = require_cuda_torch(machine)
    names, source = _architectures(torch, cuda)
    return [
        Problem(
            {"torch": torch_name(torch), "sm": model.sm, "gpu": model.name, "has": " ".join(names)},
            evidence=(f"{source}: {' '.join(names)}", f"{model.name}: compute capability {model.capability}"),
            affects=("torch", "bitsandbytes"),
        )
        for model in found
        if not serving(names, model.capability)
    ]


@rule("TOR004")
def cpu_build_on_gpu_machine(machine: Snapshot) -> List[Problem]:
    """A build without CUDA on a machine with an NVIDIA GPU."""
    found = require_gpu(machine)
    require_working_driver(machine)
    torch = require_torch(machine)
    if torch.cuda or torch.hip:
        return []
    values = {"torch": torch_name(torch), "gpu": found[0].name}
    return [Problem(values, evidence=("version.py names no CUDA",), affects=("torch", "bitsandbytes"))]


@rule("TOR005")
def rocm_build_on_nvidia(machine: Snapshot) -> List[Problem]:
    """A build for AMD GPUs on a machine with an NVIDIA GPU."""
    found = require_gpu(machine)
    require_working_driver(machine)
    torch = require_torch(machine)
    if not torch.hip or torch.cuda:
        return []
    values = {"torch": torch_name(torch), "gpu": found[0].name}
    return [
        Problem(values, evidence=(f"version.py: hip = {torch.hip!r}",), affects=("torch", "bitsandbytes"))
    ]


@rule("TOR006")
def numpy_2_with_old_torch(machine: Snapshot) -> List[Problem]:
    """NumPy 2 beside a torch that was compiled against NumPy 1: torch imports, and every exchange of arrays fails."""
    torch = require_torch(machine)
    numpy = version_of(machine, "numpy")
    if numpy is None:
        raise Skip("numpy was not found")
    if not satisfies(numpy, ">=2") or fits(torch.version, f">={NUMPY_2_SINCE}"):
        return []
    return [Problem({"torch": torch_name(torch), "numpy": numpy}, affects=("torch", "numpy", "transformers"))]


@rule("TOR007")
def nvidia_wheel_mix(machine: Snapshot) -> List[Problem]:
    """NVIDIA's library wheels of two CUDA majors side by side."""
    torch, cuda = require_cuda_torch(machine)
    if not numbers(cuda):
        raise Skip(f"torch names its CUDA `{cuda}`")
    own = numbers(cuda)[0]
    majors: Dict[int, Set[str]] = {}
    for package in machine.packages:
        match = re.fullmatch(r"nvidia-(.+)-cu(\d+)", package.name)
        if match:
            majors.setdefault(int(match.group(2)), set()).add(match.group(1))
    foreign = sorted(major for major in majors if major != own)
    if not majors:
        raise Skip("torch brings its CUDA libraries itself")
    if own not in majors or not foreign:  # foreign ones alone are some other framework's
        return []
    shared = sorted(name for name in SAME_FILE if name in majors[own] and name in majors[foreign[0]])
    consequence = (
        f"The {' and '.join(shared)} wheels of both write the same files, and the one installed last has won"
        if shared
        else "Their files have different names, so this is waste rather than danger"
    )
    listed = tuple(
        f"cu{major}: {', '.join(sorted(majors[major]))}"
        for major in sorted({own, foreign[0]})
        if major in majors
    )
    return [
        Problem(
            {"torch": torch_name(torch), "own": own, "foreign": foreign[0], "consequence": consequence},
            evidence=listed,
            affects=("torch",),
            severity=Severity.WARNING if shared else None,
        )
    ]


@rule("TOR008")
def companion_builds(machine: Snapshot) -> List[Problem]:
    """torchvision or torchaudio of another build ("+cpu", "+cu118") than torch."""
    torch = require_torch(machine)
    own = _label(torch.version)
    companions = [machine.package(name) for name in ("torchvision", "torchaudio")]
    told = [package for package in companions if package is not None and _label(package.version)]
    if own is None or not told:
        raise Skip("torch or its companions carry no build label")
    return [
        Problem(
            {"torch": torch_name(torch), "companion": f"{package.name} {shorten(package.version, 24)}"},
            affects=(package.name,),
        )
        for package in told
        if _label(package.version) != own
    ]


def _architectures(torch: TorchBuild, cuda: str) -> Tuple[Tuple[str, ...], str]:
    if torch.architectures:
        return torch.architectures, "read from torch's library"
    row = torch_release(torch.version, cuda)
    if row is None:
        raise Skip("torch's architectures were not read, and this build is not in the table")
    return row.architectures, f"table of torch builds ({row.architectures_evidence})"


def _label(version: str) -> Optional[str]:
    """ "cu118" or "cpu"; None for a version without a label of that kind ("2.9.0a0+nv25.10" is NVIDIA's own)."""
    known = parsed(version)
    label = known.local if known is not None else None
    return label if label and re.fullmatch(r"cpu|cu\d+|rocm[\d.]+|xpu", label) else None
