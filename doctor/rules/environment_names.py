"""Rules about variables whose names nobody reads: misspelt ones, and those that were retired."""

from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import (
    require_gpu,
    require_packages,
    require_torch,
    shorten,
    torch_name,
    version_of,
)
from envdoc.doctor.rules.registry import Problem, rule
from envdoc.doctor.tables.variable_names import meant, meant_option, retired
from envdoc.doctor.tables.versions import satisfies

_MATTERS = (
    "TRANSFORMERS_CACHE",
    "PYTORCH_TRANSFORMERS_CACHE",
    "PYTORCH_PRETRAINED_BERT_CACHE",
)  # gigabytes go somewhere else


@rule("CFG047")
def misspelt(machine: Snapshot) -> List[Problem]:
    """A variable with a name that is almost a known one: nobody reads it."""
    problems = []
    for name in machine.surroundings.variable_names:
        known = meant(name)
        if known is not None:
            values = {"name": shorten(name, 28), "short": shorten(known, 28), "known": known, "all": name}
            problems.append(
                Problem(
                    values,
                    evidence=(f"{name} is set",),
                    commands=(f'export {known}="${name}"; unset {name}',),
                )
            )
    return problems


@rule("CFG048")
def no_longer_read(machine: Snapshot) -> List[Problem]:
    """A variable that the installed release of its library no longer reads."""
    require_packages(machine)
    problems = []
    for name, row in retired():
        installed = version_of(machine, row.library)
        if name not in {*machine.surroundings.variable_names, *machine.variables} or installed is None:
            continue
        if satisfies(installed, f">={row.since}"):
            values = {
                "name": name,
                "library": shorten(f"{row.library} {installed}", 21),
                "consequence": row.consequence,
                "advice": f"Set {row.instead} instead"
                if row.instead
                else "Take it out of the shell's settings",
            }
            problems.append(
                Problem(
                    values,
                    evidence=(f"{name} is set",),
                    affects=(row.library,),
                    severity=None if name in _MATTERS and _has_no_other(machine) else Severity.INFO,
                    commands=(f"unset {name}",),
                )
            )
    return problems


@rule("CFG051")
def allocator_option_misspelt(machine: Snapshot) -> List[Problem]:
    """An option of the allocator that is almost a known one: torch stops at the first tensor on the GPU."""
    require_gpu(machine)
    torch = require_torch(machine)
    problems = []
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        for part in machine.variables.get(name, "").split(","):
            option = part.partition(":")[0].strip()
            known = meant_option(option)
            if known is not None:
                values = {
                    "name": name,
                    "option": option,
                    "known": known,
                    "short": shorten(option, 22),
                    "meant": shorten(known, 22),
                    "torch": torch_name(torch),
                }
                problems.append(Problem(values, evidence=(f"{name} has {option}",), affects=("torch",)))
    return problems


def _has_no_other(machine: Snapshot) -> bool:
    return not {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} & set(machine.variables)
