"""Rules about environment variables and Jupyter kernels that lead a run astray."""

import re
from pathlib import PurePosixPath
from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.loading import displacing, what_is_taken
from envdoc.doctor.rules.machine import (
    require_cuda_torch,
    require_gpu,
    require_interpreter,
    require_torch,
    shorten,
    torch_name,
    version_of,
)
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import satisfies, source_build

DISTRIBUTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
TRUE = ("1", "on", "yes", "true")  # as huggingface_hub reads them (its constants.py)

# Folders that hold a toolkit's CUDA libraries. The driver's own mounts (/usr/local/nvidia/lib64, which NVIDIA's
# images put on the path) are as they should be.
CUDA_FOLDER = re.compile(r"(^|/)(cuda|cudnn|nccl)[^/]*(/|$)", re.IGNORECASE)


@rule("CFG020")
def stale_distributed(machine: Snapshot) -> List[Problem]:
    """Variables of a distributed launch in the shell: a single process waits for others that never come."""
    found = [name for name in DISTRIBUTED if machine.variables.get(name)]
    if not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} & set(found) or "SLURM_JOB_ID" in machine.variables:
        return []
    size = machine.variables.get("WORLD_SIZE", "")
    alone = size in ("", "1")
    # A job's platform sets them on purpose, and whoever looks from within a launch sees its own.
    given = machine.host.container == "kubernetes" or "TORCHELASTIC_RUN_ID" in machine.variables
    return [
        Problem(
            {"names": shorten(", ".join(found), 34), "size": size or "not set"},
            evidence=tuple(f"{name}={machine.variables[name]}" for name in found),
            affects=("accelerate", "torch.distributed"),
            severity=Severity.INFO if alone or given else None,
            commands=("unset " + " ".join(found),),
        )
    ]


@rule("CFG021")
def library_path(machine: Snapshot) -> List[Problem]:
    """CUDA folders on LD_LIBRARY_PATH beside a torch that brings its own CUDA."""
    torch, cuda = require_cuda_torch(machine)
    if source_build(
        torch.version
    ):  # of NVIDIA's containers and Jetson: it uses the CUDA that is installed there
        raise Skip("this torch brings no CUDA libraries of its own")
    value = machine.variables.get("LD_LIBRARY_PATH", "")
    folders = [folder for folder in value.split(":") if CUDA_FOLDER.search(folder)]
    if not folders:
        return []
    displaced = {str(PurePosixPath(one.taken).parent) for one in displacing(machine)}
    if machine.loading.modelled:
        told = [what_is_taken(machine, folder) for folder in folders if folder.rstrip("/") in displaced]
        told += [what_is_taken(machine, folder) for folder in folders]
        consequence = told[0]
    # torch's wheels have DT_RPATH, which goes before LD_LIBRARY_PATH (2.0.1 to 2.14.1 read); the parts that cuDNN 8
    # loads by itself have DT_RUNPATH, which comes after it (run with stub libraries).
    elif satisfies(torch.version, "<2.1"):
        consequence = (
            "torch 2.0 keeps to its own libraries except the parts of cuDNN, which are taken from there first"
        )
    else:
        consequence = "libraries that have no DT_RPATH of their own may be given those"
    return [
        Problem(
            {"torch": torch_name(torch), "cuda": cuda, "consequence": consequence},
            evidence=tuple(folders),
            affects=("torch",),
        )
    ]


@rule("CFG022")
def offline(machine: Snapshot) -> List[Problem]:
    """Downloads are switched off."""
    found = [name for name in OFFLINE if machine.variables.get(name, "").lower() in TRUE]
    if not found:
        return []
    values = {"names": " and ".join(found[:2])}
    evidence = tuple(f"{name}={machine.variables[name]}" for name in found)
    return [Problem(values, evidence, affects=("downloads",), commands=("unset " + " ".join(found),))]


@rule("CFG023")
def jupyter_kernel(machine: Snapshot) -> List[Problem]:
    """Jupyter is there, and none of its kernels starts the target."""
    require_interpreter(machine)
    jupyter = machine.jupyter
    told = [kernel for kernel in jupyter.kernels if PurePosixPath(kernel.interpreter).is_absolute()]
    if not told or not (jupyter.inside or jupyter.version):
        raise Skip("no Jupyter kernel names an interpreter")
    target = PurePosixPath(machine.interpreter.path)
    if len(told) < len(jupyter.kernels) or any(
        PurePosixPath(k.interpreter).parent == target.parent for k in told
    ):
        return []  # a kernel that says only `python` starts the environment that Jupyter itself runs in
    installed = version_of(machine, "ipykernel") is not None
    register = f"{target} -m ipykernel install --user --name envdoc"
    return [
        Problem(
            {"count": len(told), "target": machine.interpreter.path, "first": told[0].interpreter},
            evidence=tuple(f"{kernel.name}: {kernel.interpreter}" for kernel in told),
            affects=("notebooks",),
            severity=Severity.WARNING if jupyter.inside else Severity.INFO,
            commands=(register,) if installed else (f"{target} -m pip install ipykernel", register),
        )
    ]


@rule("CFG024")
def allocator_option(machine: Snapshot) -> List[Problem]:
    """An allocator option that this torch does not know: it stops at the first tensor on the GPU."""
    require_gpu(machine)
    torch = require_torch(machine)
    value = machine.variables.get("PYTORCH_CUDA_ALLOC_CONF", "")
    if "expandable_segments" not in value or not satisfies(torch.version, "<2.1"):
        return []
    values = {"torch": torch_name(torch)}
    return [Problem(values, evidence=(f"PYTORCH_CUDA_ALLOC_CONF={value}",), affects=("torch",))]


@rule("CFG025")
def launch_blocking(machine: Snapshot) -> List[Problem]:
    """CUDA_LAUNCH_BLOCKING left over from a debugging session."""
    require_gpu(machine)
    if machine.variables.get("CUDA_LAUNCH_BLOCKING", "0") in ("", "0"):
        return []
    return [Problem({}, evidence=(f"CUDA_LAUNCH_BLOCKING={machine.variables['CUDA_LAUNCH_BLOCKING']}",))]


@rule("CFG026")
def torch_switched_off(machine: Snapshot) -> List[Problem]:
    """USE_TORCH or USE_TF makes transformers go on without torch."""
    require_torch(machine)
    transformers = version_of(machine, "transformers")
    if transformers is None or satisfies(transformers, ">=5"):
        raise Skip("no transformers was found, or one of 5 and newer, which asks no such variable")
    torch = machine.variables.get("USE_TORCH", "AUTO").upper()
    tf = machine.variables.get("USE_TF", "AUTO").upper()
    on = ("1", "ON", "YES", "TRUE")  # as transformers 4 reads them (its import_utils.py); 5 does not
    if torch in (*on, "AUTO") and tf not in on:
        return []
    name = "USE_TORCH" if torch not in (*on, "AUTO") else "USE_TF"
    value = machine.variables[name]
    return [
        Problem(
            {"name": name, "value": shorten(value, 10), "transformers": transformers},
            evidence=(f"{name}={value}",),
            affects=("transformers",),
            commands=(f"unset {name}",),
        )
    ]


@rule("CFG027")
def transfer_package_missing(machine: Snapshot) -> List[Problem]:
    """HF_HUB_ENABLE_HF_TRANSFER without the package that it needs."""
    require_interpreter(machine)
    hub = version_of(machine, "huggingface-hub")
    if hub is None:
        raise Skip("no huggingface-hub was found")
    wanted = machine.variables.get("HF_HUB_ENABLE_HF_TRANSFER", "").lower() in TRUE
    if not wanted or satisfies(hub, ">=1.0") or version_of(machine, "hf-transfer") is not None:
        return []
    return [Problem({"hub": hub}, evidence=("HF_HUB_ENABLE_HF_TRANSFER is on",), affects=("downloads",))]
