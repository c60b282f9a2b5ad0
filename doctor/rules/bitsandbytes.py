"""Rules about bitsandbytes: does it ship a library for this torch and this GPU."""

import re
from typing import List, Optional

from envdoc.doctor.facts.snapshot import BitsandbytesBuild, BitsandbytesLibrary, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import (
    judged_models,
    require_cuda_torch,
    require_gpu,
    require_packages,
    shorten,
    torch_name,
)
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.architectures import capability_of, serving
from envdoc.doctor.tables.bitsandbytes_builds import INT8_CAPABILITY, NEAREST_SINCE, library_for
from envdoc.doctor.tables.versions import numbers


@rule("BNB001")
def bitsandbytes_missing(machine: Snapshot) -> List[Problem]:
    """A GPU and a torch that uses it, without bitsandbytes: 8-bit and 4-bit bases are out of reach."""
    found = require_gpu(machine)
    require_packages(machine)
    torch, _ = require_cuda_torch(machine)
    if machine.bitsandbytes is not None or machine.package("bitsandbytes") is not None:
        return []
    return [Problem({"torch": torch_name(torch), "gpu": found[0].name}, affects=("8-bit", "4-bit"))]


@rule("BNB002")
def no_library_for_cuda(machine: Snapshot) -> List[Problem]:
    """bitsandbytes ships no library that its loader would open for torch's CUDA."""
    require_gpu(machine)
    build = _build(machine)
    torch, cuda = require_cuda_torch(machine)
    if _override(machine):
        raise Skip("BNB_CUDA_VERSION is set, which BNB005 judges")
    shipped = _shipped(build)
    if library_for(build.version, shipped, cuda) is not None:
        return []
    nearest = numbers(build.version)[:2] >= NEAREST_SINCE
    values = {
        "version": build.version,
        "torch": torch_name(torch),
        "cuda": cuda,
        "file": f"libbitsandbytes_cuda{_digits(cuda)}.so",
        "rule": f"any library of CUDA {numbers(cuda)[0]}" if nearest else "the library of exactly that CUDA",
        "has": ", ".join(sorted(set(shipped), key=numbers)) or "none",
    }
    evidence = tuple(library.file for library in build.libraries)
    return [Problem(values, evidence=evidence, affects=("8-bit", "4-bit"))]


@rule("BNB003")
def library_without_kernels(machine: Snapshot) -> List[Problem]:
    """The library that would be opened has neither a binary nor PTX for a GPU."""
    found = judged_models(machine)
    build = _build(machine)
    _torch, cuda = require_cuda_torch(machine)
    chosen = _override(machine) or library_for(build.version, _shipped(build), cuda)
    problems = []
    for model in found:
        library = _library(build, chosen, model.capability)
        if library is None or not library.architectures:
            continue
        if not serving(library.architectures, model.capability):
            values = {
                "version": build.version,
                "sm": model.sm,
                "gpu": model.name,
                "file": library.file,
                "has": " ".join(library.architectures),
            }
            evidence = (f"{library.file}: {' '.join(library.architectures)}",)
            problems.append(Problem(values, evidence=evidence, affects=("8-bit", "4-bit")))
    return problems


@rule("BNB004")
def int8_needs_turing(machine: Snapshot) -> List[Problem]:
    """LLM.int8() on a GPU without int8 tensor cores."""
    found = judged_models(machine)
    build = _build(machine)
    return [
        Problem({"gpu": model.name, "sm": model.sm, "version": build.version}, affects=("8-bit",))
        for model in found
        if (capability_of(model.capability) or INT8_CAPABILITY) < INT8_CAPABILITY
    ]


@rule("BNB005")
def cuda_version_override(machine: Snapshot) -> List[Problem]:
    """BNB_CUDA_VERSION makes bitsandbytes open a library that it does not have, or one of another CUDA than torch's."""
    build = _build(machine)
    value = machine.variables.get("BNB_CUDA_VERSION", "")
    if not value:
        raise Skip("BNB_CUDA_VERSION is not set")
    wanted, shipped = _override(machine), _shipped(build)
    cuda = machine.torch.cuda if machine.torch is not None else None
    values = {
        "value": shorten(value, 12),
        "version": build.version,
        "has": ", ".join(sorted(set(shipped), key=numbers)) or "none",
    }
    if wanted not in shipped:
        return [Problem(dict(values, effect=f"names no library of bitsandbytes {build.version}"))]
    if cuda and numbers(wanted or "")[:1] != numbers(cuda)[:1]:
        return [
            Problem(dict(values, effect=f"is of another CUDA than torch ({cuda})"), severity=Severity.WARNING)
        ]
    return []


def _build(machine: Snapshot) -> BitsandbytesBuild:
    if machine.bitsandbytes is None or not machine.bitsandbytes.version:
        raise Skip("no bitsandbytes was found")
    return machine.bitsandbytes


def _shipped(build: BitsandbytesBuild) -> List[str]:
    return [library.cuda for library in build.libraries if library.backend == "cuda" and library.cuda]


def _override(machine: Snapshot) -> Optional[str]:
    """ "11.7" for BNB_CUDA_VERSION=117; None where it is not set; "" where it is no version."""
    value = machine.variables.get("BNB_CUDA_VERSION", "")
    if not value:
        return None
    match = re.fullmatch(r"(\d{2})(\d)", value.replace(".", ""))
    return f"{match.group(1)}.{match.group(2)}" if match else ""


def _library(build: BitsandbytesBuild, cuda: Optional[str], capability: str) -> Optional[BitsandbytesLibrary]:
    """The file for that CUDA; GPUs before Turing took the one without cuBLASLt while there was one (to 0.44)."""
    old = (capability_of(capability) or INT8_CAPABILITY) < INT8_CAPABILITY
    files = [library for library in build.libraries if library.backend == "cuda" and library.cuda == cuda]
    files.sort(key=lambda library: ("nocublaslt" in library.file) != old)
    return files[0] if files else None


def _digits(cuda: str) -> str:
    return "".join(str(number) for number in numbers(cuda)[:2])
