"""Is each GPU what its name says? The name against the compute capability, the multiprocessors and the memory."""

from typing import Dict, Iterator, List, Tuple

from envdoc.doctor.facts.snapshot import Gpu, Snapshot
from envdoc.doctor.rules.machine import gigabytes, gpu_name, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.gpu_names import capability_by_name
from envdoc.doctor.tables.gpu_rates import GpuModel, gpu_model, is_share

# Drivers keep some memory for themselves, and error correction of GDDR6 takes a sixteenth; the table has the smallest
# figure told. Below this share of it something else is meant.
MEMORY_SHARE = 0.85


def _known(machine: Snapshot) -> List[Tuple[Gpu, GpuModel]]:
    """The GPUs whose model the table knows. Raises Skip where there is none."""
    if not machine.gpus:
        raise Skip("no GPU was listed")
    known = [(gpu, model) for gpu in machine.gpus for model in [gpu_model(gpu.name)] if model]
    if not known:
        raise Skip("the table has no figures for this GPU")
    return known


def _counts(machine: Snapshot) -> Dict[str, int]:
    """Name -> the smallest number of multiprocessors that gpu_rates saw; none under MIG or a share by MPS."""
    result = machine.probe("gpu_rates")
    if result is None or result.status != "ran" or result.data.get("mps_share"):
        return {}
    found: Dict[str, int] = {}
    for gpu in result.data.get("gpus", []):
        if "multiprocessors" in gpu and not is_share(gpu["name"]):
            found[gpu["name"]] = min(gpu["multiprocessors"], found.get(gpu["name"], 1 << 30))
    return found


def _contradictions(machine: Snapshot, gpu: Gpu, model: GpuModel) -> Iterator[str]:
    expected = capability_by_name(gpu.name)
    if expected and gpu.capability and gpu.capability != expected:
        yield f"compute capability {gpu.capability}, where this model has {expected}"
    count = _counts(machine).get(gpu.name)
    if (
        count is not None
        and model.multiprocessors
        and count < min(model.multiprocessors)
        and not gpu.mig_enabled
    ):
        numbers = " or ".join(map(str, model.multiprocessors))
        yield f"{count} multiprocessors, where this model has {numbers}"


@rule("GPU053")
def not_what_its_name_says(machine: Snapshot) -> List[Problem]:
    """The chip behind a name is another one, or a part of it."""
    found = []
    for gpu, model in _known(machine):
        wrong = tuple(_contradictions(machine, gpu, model))
        if wrong:
            values = {
                "gpu": gpu_name(gpu),
                "index": gpu.index,
                "wrong": "; ".join(wrong),
                "source": model.source,
            }
            values["first"] = shorten(wrong[0].split(",")[0], 30)
            found.append(Problem(values, wrong, ("training speed",)))
    return found


@rule("GPU054")
def less_memory_than_its_model(machine: Snapshot) -> List[Problem]:
    """Much less memory than every variant of that name has: a share of a card without saying so, or another card."""
    judged = [(gpu, model) for gpu, model in _known(machine) if gpu.memory_bytes and not gpu.mig_enabled]
    if not judged:
        raise Skip("no GPU told its memory, or all are in MIG mode")
    return [
        Problem(
            {
                "gpu": gpu_name(gpu),
                "index": gpu.index,
                "found": gigabytes(gpu.memory_bytes),
                "expected": f"{model.memory_gb:g} GB",
            },
            (f"GPU {gpu.index}: {gpu.memory_bytes} bytes",),
            ("training",),
        )
        for gpu, model in judged
        if gpu.memory_bytes < MEMORY_SHARE * model.memory_gb * 1e9
    ]
