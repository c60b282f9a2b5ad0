"""Rules about the GPUs themselves: present, visible, free, sound."""

import re
from typing import List, Optional

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import driver_version, gigabytes, gpu_name, models, shorten, torch_name
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import numbers

# accelerate refuses several RTX 40 cards below this driver (check_cuda_p2p_ib_support, accelerate 0.34.2 to 1.15.0).
P2P_DRIVER = "550.40.07"

# Above this share of a GPU's memory in use another program is likely to be in the way; a desktop takes under a tenth.
BUSY_SHARE = 0.5


@rule("GPU001")
def no_gpu(machine: Snapshot) -> List[Problem]:
    """No NVIDIA GPU at all: a CPU machine is healthy, and its owner should know once that training runs there."""
    if machine.gpus or machine.pci_devices:
        return []
    torch = machine.torch
    if torch is not None and torch.cuda:
        build = f"; {torch_name(torch)} is a CUDA build, which works there too"
        return [Problem({"build": build}, affects=("training speed",))]
    return [Problem({"build": ""}, affects=("training speed",))]


@rule("GPU002")
def hidden_gpus(machine: Snapshot) -> List[Problem]:
    """CUDA_VISIBLE_DEVICES hides every GPU, or names one that is not there."""
    if not machine.gpus:
        raise Skip("no GPU was listed")
    effect = hidden_by_variable(machine)
    if effect is None:
        return []
    value = machine.variables["CUDA_VISIBLE_DEVICES"]
    values = {"value": shorten(value, 16) or "''", "effect": effect, "count": len(machine.gpus)}
    return [Problem(values, evidence=(f"CUDA_VISIBLE_DEVICES={value!r}",), affects=("torch",))]


@rule("GPU003")
def mig_enabled(machine: Snapshot) -> List[Problem]:
    """MIG mode: CUDA sees slices of the GPU, one a process, and none where no slice was made."""
    split = [gpu for gpu in machine.gpus if gpu.mig_enabled]
    if not machine.gpus:
        raise Skip("no GPU was listed")
    if not split:
        return []
    counted = [h for h in machine.gpu_health if h.mig_memory_bytes is not None]
    none_made = (
        bool(counted) and not any(h.mig_memory_bytes for h in counted) and len(split) == len(machine.gpus)
    )
    no_slice = machine.driver.cuda_init_code == 100 or (none_made and machine.driver.cuda_init_code != 0)
    sizes = sorted(size for h in counted for size in h.mig_memory_bytes or ())
    slice_size = f" of {gigabytes(sizes[0])}" if sizes and sizes[0] == sizes[-1] else ""
    state = "CUDA sees no instance" if no_slice else f"CUDA sees one slice{slice_size}"
    values = {"gpu": gpu_name(split[0]), "index": split[0].index, "state": state}
    return [
        Problem(
            values,
            evidence=tuple(f"GPU {gpu.index}: MIG enabled" for gpu in split),
            severity=Severity.ERROR if no_slice else None,
            commands=("nvidia-smi mig -lgi",) if no_slice else None,
        )
    ]


@rule("GPU004")
def ecc_errors(machine: Snapshot) -> List[Problem]:
    """Uncorrected memory errors: results may be wrong, and the next one ends the process."""
    if not any(gpu.ecc_uncorrected is not None for gpu in machine.gpus):
        raise Skip("no GPU told its ECC counters")
    return [
        Problem(
            {"gpu": gpu_name(gpu), "index": gpu.index, "count": gpu.ecc_uncorrected},
            evidence=(f"GPU {gpu.index}: {gpu.ecc_uncorrected} uncorrected ECC errors",),
        )
        for gpu in machine.gpus
        if gpu.ecc_uncorrected
    ]


@rule("GPU005")
def mixed_gpus(machine: Snapshot) -> List[Problem]:
    """GPUs of different models: a run over all of them goes at the pace and with the memory of the smallest."""
    if len(machine.gpus) < 2:
        raise Skip("there are fewer than two GPUs")
    found = models(machine)
    if len(found) == 1:
        return []
    listed = tuple(
        f"{model.count} x {model.name} ({model.capability or 'capability not told'})" for model in found
    )
    return [Problem({"first": found[0].name, "second": found[1].name}, evidence=listed)]


@rule("GPU006")
def compute_prohibited(machine: Snapshot) -> List[Problem]:
    """Compute mode PROHIBITED: no CUDA program may use the GPU."""
    if not any(gpu.compute_mode for gpu in machine.gpus):
        raise Skip("no GPU told its compute mode")
    return [
        Problem(
            {"gpu": gpu_name(gpu), "index": gpu.index},
            evidence=(f"GPU {gpu.index}: compute mode prohibited",),
        )
        for gpu in machine.gpus
        if gpu.compute_mode.lower() == "prohibited"
    ]


@rule("GPU007")
def memory_in_use(machine: Snapshot) -> List[Problem]:
    """Somebody else's program holds most of the GPU's memory."""
    told = [gpu for gpu in machine.gpus if gpu.memory_bytes and gpu.memory_used_bytes is not None]
    if not told:
        raise Skip("no GPU told how much of its memory is in use")
    return [
        Problem(
            {
                "gpu": gpu_name(gpu),
                "index": gpu.index,
                "used": gigabytes(gpu.memory_used_bytes or 0),
                "total": gigabytes(gpu.memory_bytes),
            }
        )
        for gpu in told
        if (gpu.memory_used_bytes or 0) > BUSY_SHARE * gpu.memory_bytes
    ]


@rule("GPU008")
def rtx_40_peer_to_peer(machine: Snapshot) -> List[Problem]:
    """Several RTX 40 cards under an old driver: accelerate refuses to start without two variables."""
    cards = [gpu for gpu in machine.gpus if "RTX 40" in gpu.name]
    version = driver_version(machine.driver)
    if len(machine.gpus) < 2 or not cards:
        raise Skip("there are no several GPUs with an RTX 40 among them")
    if not version:
        raise Skip("no driver version is known")
    off = all(machine.variables.get(name) == "1" for name in ("NCCL_P2P_DISABLE", "NCCL_IB_DISABLE"))
    if off or numbers(version) >= numbers(P2P_DRIVER):
        return []
    values = {"count": len(machine.gpus), "gpu": gpu_name(cards[0]), "driver": version, "floor": P2P_DRIVER}
    return [Problem(values, affects=("accelerate",))]


def hidden_by_variable(machine: Snapshot) -> Optional[str]:
    """What CUDA_VISIBLE_DEVICES hides, in words for a title; None where it hides nothing by mistake.

    CUDA reads the list up to the first entry that names no GPU (CUDA C++ Programming Guide, "Environment Variables").
    Names of GPUs and of MIG instances (GPU-..., MIG-...) are not judged.
    """
    value = machine.variables.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return None
    entries = [entry.strip() for entry in value.split(",")]
    if entries[0] in ("", "-1") or entries[0].lower() in ("none", "nodevfiles", "void"):
        return "hides every GPU"
    absent = [entry for entry in entries if re.fullmatch(r"\d+", entry) and int(entry) >= len(machine.gpus)]
    return f"names GPU {absent[0]}, and there are {len(machine.gpus)}" if absent and machine.gpus else None
