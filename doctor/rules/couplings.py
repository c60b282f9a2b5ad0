"""Rules about versions that no metadata keeps apart.

The rows are data in tables/couplings.toml; transformers' own demands come from its source, which the snapshot holds.
"""

import re
from typing import List, Optional, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import (
    models,
    require_packages,
    require_torch,
    shorten,
    torch_name,
    version_of,
)
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import needs
from envdoc.doctor.tables.couplings import Coupling, couplings, torch_minimum
from envdoc.doctor.tables.versions import public, satisfies

# Of the 80 names in transformers' dependency_versions_table.py, those that a fine-tune meets; the others are its
# developers' tools. transformers checks the first group when it is imported and refuses to go on (its
# dependency_versions_check.py), the Trainer refuses an older accelerate, and the rest only where they are used.
CHECKED_AT_IMPORT = (
    "tqdm",
    "regex",
    "packaging",
    "filelock",
    "numpy",
    "tokenizers",
    "huggingface-hub",
    "safetensors",
)
REFUSED_BY_TRAINER = ("accelerate",)
# Rules whose rows stay silent where the metadata of one side declares the conflict as well.
SAID_ONCE = ("TRF011", "TRF012", "PKG032", "PKG033", "PKG034")
USED_LATER = ("peft", "datasets", "deepspeed", "sentencepiece", "protobuf")


@rule("TRF001")
def torch_disabled(machine: Snapshot) -> List[Problem]:
    """transformers goes on without a torch that is too old for it, and says so in one line of its log."""
    torch = require_torch(machine)
    transformers = _installed(machine, "transformers")
    told = machine.transformers.torch_minimum if machine.transformers is not None else ""
    minimum = told or (torch_minimum(transformers) if machine.transformers is None else None)
    if not minimum or satisfies(public(torch.version), f">={minimum}"):
        return []
    source = "its import_utils.py" if told else "table of couplings"
    values = {"transformers": shorten(transformers, 16), "torch": torch_name(torch), "minimum": minimum}
    return [Problem(values, evidence=(f"{source}: torch >= {minimum}",), affects=("transformers", "torch"))]


@rule("TRF002")
def transformers_own_table(machine: Snapshot) -> List[Problem]:
    """What transformers asks of others in its own table, where no metadata says it."""
    transformers = _installed(machine, "transformers")
    if machine.transformers is None or not machine.transformers.dependency_table:
        raise Skip("transformers' table was not read")
    package = machine.package("transformers")
    declared = (
        {_name(line) for line in package.requires if "extra" not in line} if package is not None else set()
    )
    problems = []
    for name, requirement in machine.transformers.dependency_table:
        known = name in CHECKED_AT_IMPORT or name in REFUSED_BY_TRAINER or name in USED_LATER
        version = (
            version_of(machine, name) if known and name not in declared else None
        )  # declared ones are PKG002's
        specifier = requirement[len(name) :]
        if version is None or satisfies(version, specifier):
            continue
        later = name in USED_LATER
        values = {
            "transformers": shorten(transformers, 14),
            "wants": shorten(requirement, 28),
            "name": name,
            "found": shorten(version, 14),
            "when": "where it uses it" if later else "before anything is trained",
        }
        evidence = (f"dependency_versions_table.py: {requirement}",)
        severity = Severity.WARNING if later else Severity.ERROR
        problems.append(Problem(values, evidence, affects=("transformers", name), severity=severity))
    return problems


@rule("TRF003")
def transformers_and_accelerate(machine: Snapshot) -> List[Problem]:
    """Releases of transformers and accelerate whose Trainer and Accelerator do not fit."""
    return _rows(machine, "TRF003", ("transformers", "accelerate"))


@rule("TRF004")
def transformers_and_torch(machine: Snapshot) -> List[Problem]:
    """Releases of transformers and torch that cannot read each other's checkpoint files."""
    return _rows(machine, "TRF004", ("transformers", "torch"))


@rule("TRF005")
def transformers_and_protobuf(machine: Snapshot) -> List[Problem]:
    """An old transformers beside a new protobuf."""
    return _rows(machine, "TRF005", ("transformers", "protobuf"))


@rule("PFT001")
def peft_and_transformers(machine: Snapshot) -> List[Problem]:
    """Releases of peft and transformers of which one imports what the other lacks; peft declares no bound at all."""
    return _rows(machine, "PFT001", ("peft", "transformers"))


@rule("PFT002")
def peft_and_accelerate(machine: Snapshot) -> List[Problem]:
    """Releases of peft and accelerate of which one imports what the other lacks."""
    return _rows(machine, "PFT002", ("peft", "accelerate"))


@rule("BNB006")
def bitsandbytes_and_neighbours(machine: Snapshot) -> List[Problem]:
    """A bitsandbytes that the triton, the transformers or the peft beside it cannot work with."""
    return _rows(machine, "BNB006", ("bitsandbytes",))


@rule("PKG009")
def undeclared_requirement(machine: Snapshot) -> List[Problem]:
    """A package that imports what it does not declare, and that is not installed."""
    return _rows(machine, "PKG009", ())


@rule("PKG010")
def other_couplings(machine: Snapshot) -> List[Problem]:
    """Other pairs of libraries that cannot be imported together."""
    return _rows(machine, "PKG010", ())


@rule("TRF011")
def trl_and_transformers(machine: Snapshot) -> List[Problem]:
    """Releases of trl and transformers of which one imports what the other lacks."""
    return _rows(machine, "TRF011", ("trl", "transformers"))


@rule("TRF012")
def hub_and_its_users(machine: Snapshot) -> List[Problem]:
    """A library that imports from huggingface_hub what this release no longer has."""
    return _rows(machine, "TRF012", ("huggingface-hub",))


@rule("PKG032")
def numpy_abi(machine: Snapshot) -> List[Problem]:
    """A library whose compiled part was made for NumPy 1, beside NumPy 2."""
    return _rows(machine, "PKG032", ("numpy",))


@rule("PKG033")
def removed_from_python(machine: Snapshot) -> List[Problem]:
    """A package that imports pkg_resources or distutils, which newer setuptools and Pythons no longer have."""
    require_packages(machine)
    if not machine.interpreter.version:
        raise Skip("the interpreter did not tell its version")
    return _rows(machine, "PKG033", ())


@rule("PKG034")
def torch_and_its_extensions(machine: Snapshot) -> List[Problem]:
    """A library built on torch that this torch is too new or too old for."""
    require_torch(machine)
    return _rows(machine, "PKG034", ())


def _rows(machine: Snapshot, code: str, needed: Tuple[str, ...]) -> List[Problem]:
    require_packages(machine)
    for name in needed:
        _installed(machine, name)
    return [
        _problem(machine, row)
        for row in couplings(code)
        if (not row.needs_gpu or models(machine))
        and row.holds(lambda name: version_of(machine, name), machine.interpreter.version)
        and not (code in SAID_ONCE and _is_declared(machine, row))
    ]


def _is_declared(machine: Snapshot, row: Coupling) -> bool:
    """Whether metadata keeps the pair apart too, so that PKG002 or PKG008 has said it."""
    names = {name for name, _ in row.pair}
    return any(
        need.owner in names
        and need.name in names
        and need.found
        and not satisfies(need.found, need.specifier)
        for need in needs(machine.packages, machine.interpreter)
    )


def _problem(machine: Snapshot, row: Coupling) -> Problem:
    sides = [f"{name} {shorten(public(version_of(machine, name) or ''), 12)}" for name, _ in row.pair]
    values = {
        "sides": " and ".join(sides),
        "effect": row.effect,
        "symptom": row.symptom,
        "works": row.works,
        "evidence": row.evidence,
    }
    links = (f"see {', '.join(row.links)}",) if row.links else ()
    return Problem(
        values,
        evidence=(row.symptom, f"how this is known: {row.evidence}", *links),
        affects=tuple(name for name, _ in row.pair),
        severity=Severity(row.severity),
    )


def _installed(machine: Snapshot, name: str) -> str:
    require_packages(machine)
    version: Optional[str] = version_of(machine, name)
    if version is None:
        raise Skip(f"no {name} was found")
    return version


def _name(line: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", line)
    return re.sub(r"[-_.]+", "-", match.group()).lower() if match else ""
