"""Rules about accelerate's default configuration, which `accelerate launch` takes where no other is named."""

from typing import List, Mapping

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.rules.machine import models, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import numbers

# accelerate, utils/dataclasses.py, DistributedType: those that give each process a GPU.
_ONE_GPU_EACH = ("MULTI_GPU", "FSDP", "DEEPSPEED", "MEGATRON_LM", "TP")
_LEAST = {"bf16": "8.0", "fp8": "8.9"}  # CUDA C++ Programming Guide, arithmetic by compute capability


@rule("CFG049")
def more_processes_than_gpus(machine: Snapshot) -> List[Problem]:
    """More processes a machine than it has GPUs, or GPUs asked for where there are none, or left unused."""
    values = _values(machine)
    kind, gpus = values.get("distributed_type", "NO").upper(), sum(model.count for model in models(machine))
    wants_cpu = values.get("use_cpu", "false").lower() in ("true", "yes")
    path = machine.surroundings.accelerate.path if machine.surroundings.accelerate else ""
    if wants_cpu and gpus and kind == "NO":
        return [_problem(path, "use_cpu: true", gpus, "training then runs on the CPU", "use_cpu: true")]
    processes = _number(values, "num_processes", 1)
    here = -(-processes // max(1, _number(values, "num_machines", 1)))
    if wants_cpu or kind not in _ONE_GPU_EACH or here <= gpus:
        return []
    asked = f"{here} processes ({kind})"
    return [
        _problem(
            path,
            asked,
            gpus,
            "each process wants a GPU of its own, and the launch ends with an error or the processes share one",
            f"distributed_type: {kind}, num_processes: {processes}",
        )
    ]


@rule("CFG050")
def precision_not_served(machine: Snapshot) -> List[Problem]:
    """Mixed precision that the GPU has no arithmetic for, or that there is no GPU for."""
    values = _values(machine)
    precision = values.get("mixed_precision", "no").lower()
    path = machine.surroundings.accelerate.path if machine.surroundings.accelerate else ""
    told = {"precision": precision, "path": path}
    found = models(machine)
    if not found:
        if precision not in ("fp16", "fp8"):
            return []
        return [
            Problem(
                {
                    **told,
                    "device": "the CPU",
                    "consequence": "accelerate refuses it there, or goes on without it",
                },
                evidence=(f"mixed_precision: {precision}",),
                affects=("accelerate",),
            )
        ]
    least = _LEAST.get(precision)
    below = [m for m in found if least and m.capability and numbers(m.capability) < numbers(least)]
    return [
        Problem(
            {
                **told,
                "device": shorten(f"{model.name} ({model.sm})", 32),
                "consequence": f"the hardware has it from sm_{(least or '').replace('.', '')} on, "
                "and it is refused or computed slowly by other means",
            },
            evidence=(f"mixed_precision: {precision}",),
            affects=("accelerate",),
        )
        for model in below
    ]


def _problem(path: str, asked: str, gpus: int, consequence: str, evidence: str) -> Problem:
    have = {0: "no GPU", 1: "one GPU"}.get(gpus, f"{gpus} GPUs")
    values = {"asked": shorten(asked, 24), "have": have, "path": path, "consequence": consequence}
    return Problem(values, evidence=(evidence,), affects=("accelerate",))


def _values(machine: Snapshot) -> Mapping[str, str]:
    if machine.surroundings.accelerate is None:
        raise Skip("accelerate has no default configuration")
    return machine.surroundings.accelerate.values


def _number(values: Mapping[str, str], key: str, default: int) -> int:
    text = values.get(key, "")
    return int(text) if text.isdigit() else default
