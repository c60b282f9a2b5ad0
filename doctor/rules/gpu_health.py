"""Rules about the state of a GPU as NVML tells it: memory that is to be exchanged, heat, power."""

from typing import List, Tuple

from envdoc.doctor.facts.snapshot import GpuHealth, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import gpu_name
from envdoc.doctor.rules.registry import Problem, Skip, rule

# People lower the limit by a fifth to a quarter to save power, at little cost; below this share it is felt.
POWER_SHARE = 0.7


@rule("GPU011")
def memory_to_be_exchanged(machine: Snapshot) -> List[Problem]:
    """Rows or pages of memory that wait for a reset to be taken out of use, or can no longer be."""
    told = _told(machine)
    if all((h.remap_pending, h.remap_failed, h.retirement_pending) == (None, None, None) for h in told):
        raise Skip("no GPU told the state of its memory")
    problems = []
    for state in told:
        if state.remap_failed:
            what, advice = (
                "has no spare rows left for its memory",
                "Exchange the card, or rent another machine",
            )
        elif state.remap_pending or state.retirement_pending:
            what, advice = "waits for a reset to mend its memory", "Reset the GPU, or reboot"
        else:
            continue
        values = {"index": state.index, "gpu": _name(machine, state), "what": what, "advice": advice}
        commands = () if state.remap_failed else (f"sudo nvidia-smi --gpu-reset -i {state.index}",)
        problems.append(Problem(values, affects=("training",), commands=commands))
    return problems


@rule("GPU012")
def slowed_down(machine: Snapshot) -> List[Problem]:
    """The hardware holds the clocks down: heat, or the power supply's signal."""
    told = _told(machine)
    problems = []
    for state in told:
        hot = (
            state.temperature_celsius is not None
            and state.slowdown_celsius is not None
            and 0 < state.slowdown_celsius <= state.temperature_celsius
        )
        reasons = list(state.slowed_by) or (["thermal"] if hot else [])
        if not reasons:
            continue
        heat = f"{state.temperature_celsius} C" if state.temperature_celsius is not None else "not told"
        values = {
            "index": state.index,
            "gpu": _name(machine, state),
            "why": " and ".join(reasons),
            "heat": heat,
        }
        evidence = (f"temperature {heat}, slows down from {state.slowdown_celsius or 'not told'} C",)
        problems.append(Problem(values, evidence=evidence, affects=("training speed",)))
    return problems


@rule("GPU013")
def little_power(machine: Snapshot) -> List[Problem]:
    """A power limit far below the card's own."""
    told = [h for h in _told(machine) if h.power_limit_watts and h.power_default_watts]
    if not told:
        raise Skip("no GPU told its power limit")
    return [
        Problem(
            {
                "index": state.index,
                "gpu": _name(machine, state),
                "limit": f"{state.power_limit_watts:.0f}",
                "usual": f"{state.power_default_watts:.0f}",
            },
            affects=("training speed",),
            severity=Severity.INFO,
        )
        for state in told
        if (state.power_limit_watts or 0) < POWER_SHARE * (state.power_default_watts or 0)
    ]


def _told(machine: Snapshot) -> Tuple[GpuHealth, ...]:
    if not machine.gpu_health:
        raise Skip("NVML told nothing about the state of a GPU")
    return machine.gpu_health


def _name(machine: Snapshot, state: GpuHealth) -> str:
    return next((gpu_name(gpu) for gpu in machine.gpus if gpu.index == state.index), "unnamed")
