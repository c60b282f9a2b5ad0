"""Rules about installed distributions: what is missing, in conflict, doubled or half installed."""

from typing import Dict, List, Set, Tuple

from envdoc.doctor.facts.snapshot import Package, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_packages, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import TRAINING, Need, needs, training_packages
from envdoc.doctor.tables.versions import fits, parsed, public, satisfies

# Owners whose stated bounds were seen to be real when crossed: an ImportError or a broken Trainer followed.
STRICT = ("transformers", "tokenizers", "peft", "accelerate", "datasets", "huggingface-hub", "torchvision")

# Two copies of one of these decide what is trained with; two copies of another package are nobody's worry.
WATCHED = (
    *TRAINING,
    "numpy",
    "triton",
    "protobuf",
    "torchvision",
    "flash-attn",
    "deepspeed",
    "trl",
    "xformers",
)

# They drive a training run without being part of what every run needs: their conflicts stop that run alone.
TRAINERS = (
    "trl",
    "unsloth",
    "unsloth-zoo",
    "deepspeed",
    "llamafactory",
    "axolotl",
    "xformers",
    "flash-attn",
    "torchaudio",
)


@rule("PKG001")
def requirement_missing(machine: Snapshot) -> List[Problem]:
    """A package of the training stack lacks a distribution that it declares."""
    return [
        _missing(owner, lacking)
        for owner, lacking in _missing_by_owner(machine).items()
        if owner in _training(machine)
    ]


@rule("PKG002")
def requirement_conflict(machine: Snapshot) -> List[Problem]:
    """A package of the training stack declares another version than the one that is installed."""
    training = _training(machine)
    return [
        _conflict(need, Severity.ERROR if need.owner in STRICT else Severity.WARNING)
        for need in _conflicts(machine)
        if need.owner in training or need.owner in STRICT or need.owner in TRAINERS
    ]


@rule("PKG003")
def duplicate_distributions(machine: Snapshot) -> List[Problem]:
    """Two dist-infos of one package in one folder: an upgrade that was interrupted."""
    require_packages(machine)
    by_place: Dict[Tuple[str, str], List[Package]] = {}
    for package in machine.packages:
        by_place.setdefault((package.name, package.location), []).append(package)
    return [
        Problem(
            {
                "name": shorten(name, 24),
                "versions": shorten(" and ".join(package.version or "?" for package in found), 30),
                "location": location,
            },
            evidence=tuple(f"{package.name} {package.version} in {location}" for package in found),
            affects=(name,),
            severity=None if len({package.version for package in found}) > 1 else Severity.INFO,
            commands=(f"{_pip(machine)} install --force-reinstall --no-deps {name}",),
        )
        for (name, location), found in by_place.items()
        if len(found) > 1 and not name.startswith("~") and not _by_the_system(found)
    ]


@rule("PKG004")
def two_installs(machine: Snapshot) -> List[Problem]:
    """A library that matters is in two folders of the search path, and the first one wins."""
    require_packages(machine)
    problems = []
    for name in WATCHED:
        found = [package for package in machine.packages if package.name == name]
        if (
            len({package.location for package in found}) < 2
            or len({package.version for package in found}) < 2
        ):
            continue
        first, second = found[0], next(p for p in found if p.location != found[0].location)
        origin = _origin(machine, first.location)
        values = {
            "name": name,
            "first": shorten(first.version, 16),
            "second": shorten(second.version, 16),
            "origin": origin or "the search path",
            "place": first.location,
            "other": second.location,
        }
        evidence = tuple(f"{package.version} in {package.location}" for package in found)
        severity = (
            Severity.WARNING if origin else Severity.INFO
        )  # a layer over system packages is often meant
        commands = {"PYTHONPATH": ("unset PYTHONPATH",), "the user site": ("export PYTHONNOUSERSITE=1",)}
        problems.append(
            Problem(values, evidence, affects=(name,), severity=severity, commands=commands.get(origin, ()))
        )
    return problems


@rule("PKG005")
def unreadable_metadata(machine: Snapshot) -> List[Problem]:
    """A distribution whose METADATA is missing, empty or cannot be read; for pip and transformers it is not there."""
    require_packages(machine)
    training = _training(machine)
    problems = []
    for package in machine.packages:
        if not package.problem or package.editable:  # an editable source that is gone: PKG014
            continue
        remains = package.name.startswith("~")
        severity = Severity.ERROR if package.name in training else Severity.WARNING
        problems.append(
            Problem(
                {"name": shorten(package.name, 30), "problem": package.problem, "location": package.location},
                affects=(package.name,),
                severity=Severity.INFO if remains else severity,
                commands=()
                if remains
                else (f"{_pip(machine)} install --force-reinstall --no-deps {package.name}",),
            )
        )
    return problems


@rule("PKG006")
def module_and_metadata_differ(machine: Snapshot) -> List[Problem]:
    """The code says another version than its metadata: half an upgrade, or a copy that lies before it."""
    require_packages(machine)
    by_variable = {s.module for s in machine.surroundings.shadows if s.origin == "PYTHONPATH"}
    problems = []
    for package in machine.packages:
        code, metadata = parsed(public(package.module_version or "?")), parsed(public(package.version))
        if package.editable or code is None or metadata is None or code == metadata:
            continue
        values = {
            "name": package.name,
            "code": shorten(package.module_version, 16),
            "metadata": shorten(package.version, 16),
        }
        command = f"{_pip(machine)} install --force-reinstall --no-deps {package.name}=={package.version}"
        if package.name.replace("-", "_") in by_variable:  # CFG041 names the copy
            command = "unset PYTHONPATH"
        problems.append(Problem(values, (package.location,), affects=(package.name,), commands=(command,)))
    return problems


@rule("PKG007")
def python_excluded(machine: Snapshot) -> List[Problem]:
    """An installed package that declares that it does not run on this Python."""
    require_packages(machine)
    version = machine.interpreter.version
    if not version:
        raise Skip("the interpreter did not tell its version")
    training = _training(machine)
    return [
        Problem(
            {
                "name": shorten(f"{package.name} {package.version}", 34),
                "python": shorten(version, 12),
                "wants": shorten(package.requires_python, 16),
            },
            (package.location,),
            affects=(package.name,),
            severity=Severity.ERROR if package.name in training else Severity.WARNING,
        )
        for package in machine.packages
        if package.requires_python and not satisfies(version, package.requires_python)
    ]


@rule("PKG008")
def other_packages_broken(machine: Snapshot) -> List[Problem]:
    """A package outside the training stack lacks something or is in conflict; training does not mind."""
    training = _training(machine) | set(STRICT) | set(TRAINERS)
    missing = [
        _missing(owner, lacking, f"{_pip(machine)} install {' '.join(repr(need.text) for need in lacking)}")
        for owner, lacking in _missing_by_owner(machine).items()
        if owner
        not in training - set(TRAINERS)  # a trainer's missing neighbour is often an option of its own
    ]
    conflicts = [
        Problem(
            {"what": shorten(f"{n.owner} {n.owner_version} needs {n.text}, and {n.found} is installed", 76)},
            affects=(n.owner,),
            commands=(f"{_pip(machine)} install {n.text!r}",) if n.name not in training else (),
        )
        for n in _conflicts(machine)
        if n.owner not in training
    ]
    return [
        Problem(
            {"what": shorten(f"{p.values['owner']} lacks {p.values['what']}", 76)},
            affects=p.affects,
            commands=p.commands,
        )
        for p in missing
    ] + conflicts


def _by_the_system(found: List[Package]) -> bool:
    """Debian keeps an egg-info and a dist-info of one release side by side (cryptography in Debian 12)."""
    return found[0].location.startswith("/usr/lib/") and len({package.version for package in found}) == 1


def _missing_by_owner(machine: Snapshot) -> Dict[str, List[Need]]:
    by_owner: Dict[str, List[Need]] = {}
    for need in _needs(machine):
        if need.found is None:
            by_owner.setdefault(need.owner, []).append(need)
    return by_owner


def _conflicts(machine: Snapshot) -> List[Need]:
    return [need for need in _needs(machine) if need.found and not fits(need.found, need.specifier)]


def _missing(owner: str, lacking: List[Need], command: str = "") -> Problem:
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    values = {
        "owner": shorten(f"{owner} {lacking[0].owner_version}", 28),
        "what": shorten(lacking[0].name if more else lacking[0].text, 44 - len(more)) + more,
        "all": ", ".join(need.text for need in lacking),
    }
    evidence = tuple(f"not installed: {need.text}" for need in lacking)
    return Problem(values, evidence, affects=(owner,), commands=(command,) if command else None)


def _conflict(need: Need, severity: Severity) -> Problem:
    values = {
        "owner": shorten(f"{need.owner} {need.owner_version}", 27),
        "wants": shorten(need.text, 31),
        "name": need.name,
        "found": shorten(need.found or "?", 14),
        "all": need.text,
    }
    return Problem(values, affects=(need.owner, need.name), severity=severity)


def _needs(machine: Snapshot) -> Tuple[Need, ...]:
    require_packages(machine)
    return needs(machine.packages, machine.interpreter)


def _training(machine: Snapshot) -> Set[str]:
    require_packages(machine)
    return training_packages(machine.packages, machine.interpreter)


def _origin(machine: Snapshot, location: str) -> str:
    """Where a folder comes from when it is none of the interpreter's own; empty otherwise."""
    if location in machine.variables.get("PYTHONPATH", "").split(":"):
        return "PYTHONPATH"
    return "the user site" if location and location == machine.interpreter.user_site else ""


def _pip(machine: Snapshot) -> str:
    return f"{machine.interpreter.path or 'python3'} -m pip"
