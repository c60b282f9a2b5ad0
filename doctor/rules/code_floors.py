"""Rules about versions that packages ask of others in their code, and in extras that nobody names at an install."""

import re
from typing import Dict, List, Tuple

from envdoc.doctor.facts.snapshot import CodeFloor, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.couplings import REFUSED_BY_TRAINER, USED_LATER
from envdoc.doctor.rules.machine import require_packages, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import extra_needs, needs
from envdoc.doctor.tables.couplings import couplings
from envdoc.doctor.tables.versions import satisfies

# What the owner does where the other is older: raises while an adapter is put on a model, used or not (peft's
# dispatchers ask for every layer); or counts the other as not installed.
_RAISES = {
    (
        "peft",
        "torchao",
    ): "every LoRA layer asks for it, so `get_peft_model` fails although torchao is not used",
    (
        "peft",
        "gptqmodel",
    ): "every LoRA layer asks for it, so `get_peft_model` fails although gptqmodel is not used",
}
_REFUSES = {
    ("transformers", "bitsandbytes"): "loading in 8 or 4 bit is refused",
    ("transformers", "peft"): "adapters are refused by `load_adapter` and `add_adapter`",
}

# Extras that are named after what they bring, of packages whose code then uses it; testing, docs and the like pin
# versions that nothing needs. Both bounds are kept by the code of those marked True, and the lower one by all.
_EXTRAS: Dict[Tuple[str, str], bool] = {
    ("transformers", "deepspeed"): False,
    ("transformers", "kernels"): True,
    ("transformers", "mistral-common"): False,
    ("trl", "deepspeed"): False,
    ("trl", "liger-kernel"): False,
    ("trl", "peft"): False,
    ("trl", "vllm"): True,
}
_FOR_DEVELOPERS = re.compile(r"dev|test|doc|quality|bench|all|lint|style|example")


@rule("TRF010")
def transformers_floors(machine: Snapshot) -> List[Problem]:
    """transformers' own minimum of a library that it uses where it is installed."""
    return _below(machine, "transformers")


@rule("PFT010")
def peft_floors(machine: Snapshot) -> List[Problem]:
    """peft's own minimum of a library that it looks at whenever it is installed."""
    return _below(machine, "peft")


@rule("PKG030")
def trainer_floors(machine: Snapshot) -> List[Problem]:
    """trl's own minimum of a library that it uses where it is installed."""
    return _below(machine, "trl")


@rule("PKG031")
def extra_bounds(machine: Snapshot) -> List[Problem]:
    """An optional neighbour of the stack that is installed without the extra that would have bounded its version."""
    require_packages(machine)
    told = {(floor.owner, floor.name) for floor in machine.code_floors}
    problems = []
    for extra, need in extra_needs(machine.packages, machine.interpreter):
        both = _EXTRAS.get((need.owner, need.name))
        if (
            both is None
            or (need.owner, need.name) in told
            or _FOR_DEVELOPERS.search(extra)
            or need.found is None
        ):
            continue
        wanted = need.specifier if both else ",".join(_floors(need.specifier))
        if not wanted or not need.found or satisfies(need.found, wanted):
            continue
        values = {
            "owner": shorten(f"{need.owner} {need.owner_version}", 24),
            "wants": shorten(need.name + wanted, 30),
            "found": shorten(need.found, 14),
            "extra": f"{need.owner}[{extra}]",
        }
        problems.append(Problem(values, affects=(need.owner, need.name), severity=Severity.INFO))
    return problems


def _below(machine: Snapshot, owner: str) -> List[Problem]:
    require_packages(machine)
    if machine.package(owner) is None:
        raise Skip(f"no {owner} was found")
    if not machine.code_floors:
        raise Skip("nothing is installed of which packages ask a version in their code")
    return [
        _problem(machine, floor)
        for floor in machine.code_floors
        if floor.owner == owner
        and not satisfies(version_of(machine, floor.name) or "", f">={floor.minimum}")
        and not _is_said(machine, floor)
    ]


def _problem(machine: Snapshot, floor: CodeFloor) -> Problem:
    pair = (floor.owner, floor.name)
    effect = (
        _RAISES.get(pair)
        or _REFUSES.get(pair)
        or f"{floor.name} counts as not installed, and what uses it fails"
    )
    severity = Severity.ERROR if pair in _RAISES else Severity.WARNING if pair in _REFUSES else Severity.INFO
    values = {
        "owner": shorten(f"{floor.owner} {floor.owner_version}", 24),
        "wants": shorten(f"{floor.name}>={floor.minimum}", 30),
        "found": shorten(version_of(machine, floor.name) or "?", 14),
        "effect": effect,
        "source": floor.source,
    }
    return Problem(values, (f"{floor.source} = {floor.minimum}",), (floor.owner, floor.name), severity)


def _is_said(machine: Snapshot, floor: CodeFloor) -> bool:
    """Whether transformers' table (TRF002), its metadata (PKG002) or a row of the couplings has said it."""
    if floor.owner == "transformers" and machine.transformers is not None:
        judged = (*REFUSED_BY_TRAINER, *USED_LATER)
        if any(name == floor.name and name in judged for name, _ in machine.transformers.dependency_table):
            return True
    if any(
        need.owner == floor.owner and need.name == floor.name
        for need in needs(machine.packages, machine.interpreter)
    ):
        return True
    rows = [row for row in couplings() if {name for name, _ in row.pair} == {floor.owner, floor.name}]
    return any(row.holds(lambda name: version_of(machine, name), machine.interpreter.version) for row in rows)


def _floors(specifier: str) -> List[str]:
    return [part for part in specifier.split(",") if part.strip().startswith((">", "=="))]
