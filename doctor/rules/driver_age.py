"""Rules about how new the NVIDIA driver is: for torch's CUDA, and for the GPU."""

from typing import Dict, List, Optional, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.driver import install_commands
from envdoc.doctor.rules.machine import (
    driver_version,
    judged_models,
    models,
    require_cuda_torch,
    require_gpu,
    torch_name,
)
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.cuda_drivers import exact_floor, gpu_floor, minor_floor, service
from envdoc.doctor.tables.torch_builds import torch_release
from envdoc.doctor.tables.versions import numbers


@rule("DRV010")
def driver_too_old_for_torch(machine: Snapshot) -> List[Problem]:
    """The driver is below the floor from which any program of torch's CUDA runs."""
    require_gpu(machine)
    _torch, cuda = require_cuda_torch(machine)
    if _service(machine, cuda) != "none":
        return []
    values = {**_values(machine, cuda), **_old_library(machine, cuda)}
    return [Problem(values, evidence=_evidence(machine), affects=("torch", "bitsandbytes"))]


@rule("DRV011")
def driver_below_exact_floor(machine: Snapshot) -> List[Problem]:
    """The driver serves torch's CUDA by minor-version compatibility only, without PTX."""
    require_gpu(machine)
    torch, cuda = require_cuda_torch(machine)
    if _service(machine, cuda) != "minor":
        return []
    by_ptx = [model for model in models(machine) if serving(torch.architectures, model.capability) == "ptx"]
    row = torch_release(torch.version, cuda)
    values = dict(
        _values(machine, cuda), floor=row.driver_exact if row else exact_floor(cuda) or "a newer one"
    )
    values["consequence"] = (
        f"This torch reaches {by_ptx[0].name} through PTX alone, so it will not run"
        if by_ptx
        else "torch itself runs; code that the driver must compile from PTX, and what came with later drivers, does not"
    )
    severity: Optional[Severity] = Severity.ERROR if by_ptx else None
    return [Problem(values, evidence=_evidence(machine), affects=("torch",), severity=severity)]


@rule("DRV012")
def driver_too_old_for_gpu(machine: Snapshot) -> List[Problem]:
    """The GPU is newer than the driver."""
    version = driver_version(machine.driver)
    found = judged_models(machine)
    if not version:
        raise Skip("no driver version is known")
    problems = []
    for model in found:
        floor = gpu_floor(model.capability)
        if floor and numbers(version) < numbers(floor):
            values = {"driver": version, "gpu": model.name, "floor": floor}
            commands = install_commands(machine.host)
            problems.append(
                Problem(values, evidence=_evidence(machine), affects=("torch",), commands=commands)
            )
    return problems


def _service(machine: Snapshot, cuda: str) -> str:
    answer = service(driver_version(machine.driver), machine.driver.cuda, cuda)
    if not answer:
        raise Skip("no driver version is known, or the table has no floor for this CUDA")
    return answer


def _values(machine: Snapshot, cuda: str) -> Dict[str, str]:
    assert machine.torch is not None
    return {
        "driver": driver_version(machine.driver) or f"library of CUDA {machine.driver.cuda}",
        "torch": torch_name(machine.torch),
        "cuda": cuda,
        "floor": minor_floor(cuda) or "a newer one",
    }


def _old_library(machine: Snapshot, cuda: str) -> Dict[str, str]:
    """What to say besides where the kernel driver is new enough and an older libcuda lies before its own."""
    version, floor = driver_version(machine.driver), minor_floor(cuda)
    if not version or not floor or numbers(version) < numbers(floor):
        return {"hint": ""}
    return {
        "driver": f"library of CUDA {machine.driver.cuda}",
        "hint": f" The kernel driver {version} itself is new enough: an older libcuda is found before its own, in a "
        "folder of LD_LIBRARY_PATH or in the container's image; taking it away mends this too.",
    }


def _evidence(machine: Snapshot) -> Tuple[str, ...]:
    driver = machine.driver
    version = driver_version(driver)
    seen = [f"driver {version} ({driver.source or 'source not told'})"] if version else []
    if driver.cuda:
        seen.append(f"cuDriverGetVersion: CUDA {driver.cuda}")
    return tuple(seen)
