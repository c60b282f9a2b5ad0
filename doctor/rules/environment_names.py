"""Rules about variables whose names nobody reads: misspelt ones, and those that were retired."""

from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_packages, shorten, version_of
from envdoc.doctor.rules.registry import Problem, rule
from envdoc.doctor.tables.variable_names import meant, retired
from envdoc.doctor.tables.versions import satisfies

_MATTERS = ("TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE")  # gigabytes go somewhere else


@rule("CFG047")
def misspelt(machine: Snapshot) -> List[Problem]:
    """A variable with a name that is almost a known one: nobody reads it."""
    problems = []
    for name in machine.surroundings.variable_names:
        known = meant(name)
        if known is not None:
            values = {"name": shorten(name, 32), "known": known, "all": name}
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
                "library": shorten(f"{row.library} {installed}", 30),
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


def _has_no_other(machine: Snapshot) -> bool:
    return not {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} & set(machine.variables)
