"""What each installed distribution requires of the others, as pip would judge it: markers and extras honoured."""

import re
from functools import lru_cache, wraps
from typing import (
    TYPE_CHECKING,
    Callable,
    Dict,
    FrozenSet,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
    TypeVar,
)

from envdoc.doctor.facts.snapshot import Interpreter, Package
from envdoc.doctor.tables.versions import numbers

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_T = TypeVar("_T")
_Packages = Tuple[Package, ...]
_EXTRA = re.compile(r"extra *== *['\"]([^'\"]+)")
_NAME = re.compile(r"[A-Za-z0-9._-]*")

# Where the rooms of a training run begin; what these need, directly or not, a run needs too.
TRAINING = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "sentencepiece",
)


class Need(NamedTuple):
    """One requirement of one installed distribution that applies here, and what is installed for it."""

    owner: str
    owner_version: str
    name: str  # normalised
    specifier: str  # ">=0.34,<1.0", empty for any
    found: Optional[str]  # the installed version; None: not installed; "": installed, version unknown

    @property
    def text(self) -> str:
        """`huggingface-hub<1.0,>=0.34.0`"""
        return self.name + self.specifier


def _remembered(judge: "Callable[[_Packages, Interpreter], _T]") -> "Callable[[_Packages, Interpreter], _T]":
    """Keep the last few answers, by whose packages these are: hashing seventy of them takes as long as judging them."""
    kept: List[Tuple[_Packages, Interpreter, _T]] = []

    @wraps(judge)
    def remembering(packages: _Packages, interpreter: Interpreter) -> "_T":
        for known, asked, answer in kept:
            if known is packages and asked is interpreter:
                return answer
        answer = judge(packages, interpreter)
        kept[:] = [*kept[-3:], (packages, interpreter, answer)]
        return answer

    return remembering


@_remembered
def needs(packages: Tuple[Package, ...], interpreter: Interpreter) -> Tuple[Need, ...]:
    """Every requirement that applies to this interpreter. Lines that are no requirement are passed over."""
    installed: Dict[str, Package] = {}
    for package in packages:  # the first on the search path is the one that is imported
        installed.setdefault(package.name, package)
    target = tuple(_environment(interpreter).items())
    extras: Dict[str, Set[str]] = {name: set() for name in installed}
    found: Dict[Tuple[str, str], Need] = {}
    waiting = list(installed)
    while waiting:
        owner = installed[waiting.pop()]
        for line in _applicable(owner.requires, frozenset(extras[owner.name]), target):
            have = installed.get(line.name)
            version = have.version if have else None
            need = Need(owner.name, owner.version, line.name, line.specifier, version)
            found[owner.name, line.name + line.specifier] = need
            if have is not None and not line.extras <= extras[line.name]:
                extras[line.name] |= line.extras
                waiting.append(line.name)
    return tuple(found[key] for key in sorted(found))


@_remembered
def training_packages(packages: Tuple[Package, ...], interpreter: Interpreter) -> Set[str]:
    """The names of the training stack and of everything that it needs."""
    by_owner: Dict[str, List[str]] = {}
    for need in needs(packages, interpreter):
        by_owner.setdefault(need.owner, []).append(need.name)
    reached: Set[str] = set()
    waiting = list(TRAINING)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += by_owner.get(name, [])
    return reached


@_remembered
def extra_needs(packages: Tuple[Package, ...], interpreter: Interpreter) -> Tuple[Tuple[str, Need], ...]:
    """What the extras of the stack's trainers bound of packages that are installed: (extra, need), whatever was named.

    For transformers and trl alone: parsing the 300 lines of every package's extras would cost 30 ms.
    """
    installed: Dict[str, Package] = {}
    for package in packages:
        installed.setdefault(package.name, package)
    target = tuple(_environment(interpreter).items())
    found: Dict[Tuple[str, str], Tuple[str, Need]] = {}
    for owner in (installed[name] for name in ("transformers", "trl") if name in installed):
        for line in owner.requires:
            name, extra = _name_and_extra(line)
            told = _told(line) if extra and name in installed else None
            if told is not None and told.has_marker and _holds(line, extra, target):
                need = Need(owner.name, owner.version, name, told.specifier, installed[name].version)
                found.setdefault((owner.name, need.text), (extra, need))
    return tuple(found.values())


class _Line(NamedTuple):
    """What a requirement line says, whatever the machine."""

    name: str  # normalised
    specifier: str
    extras: FrozenSet[str]
    has_marker: bool


_Target = Tuple[Tuple[str, str], ...]


@lru_cache(maxsize=16384)  # the same packages stand in every snapshot of a fleet
def _applicable(requires: Tuple[str, ...], extras: FrozenSet[str], target: _Target) -> Tuple[_Line, ...]:
    """The lines that apply to that target, with those extras asked for."""
    found = []
    for line in requires:
        if not extras and _only_for_an_extra(line):  # nine tenths of the lines, and parsing costs 0.1 ms each
            continue
        told = _told(line)
        if told is None:
            continue
        if not told.has_marker or any(_holds(line, extra, target) for extra in ("", *sorted(extras))):
            found.append(told)
    return tuple(found)


@lru_cache(maxsize=65536)
def _told(line: str) -> Optional[_Line]:
    requirement = _requirement(line)
    if requirement is None:
        return None
    return _Line(
        _normalised(requirement.name),
        str(requirement.specifier),
        frozenset(requirement.extras),
        requirement.marker is not None,
    )


@lru_cache(maxsize=65536)
def _name_and_extra(line: str) -> Tuple[str, str]:
    match = _EXTRA.search(line)
    return _normalised(_NAME.match(line).group()), match.group(1) if match else ""  # type: ignore[union-attr]


@lru_cache(maxsize=65536)
def _holds(line: str, extra: str, target: _Target) -> bool:
    requirement = _requirement(line)
    if requirement is None or requirement.marker is None:
        return requirement is not None
    return requirement.marker.evaluate(dict(target, extra=extra))


def applies(marker: str, interpreter: Interpreter) -> bool:
    """Whether a marker (PEP 508) holds for that interpreter; an empty one does, one that cannot be read does too."""
    if not marker:
        return True
    from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName

    try:
        return Marker(marker).evaluate(dict(_environment(interpreter), extra=""))
    except (InvalidMarker, UndefinedEnvironmentName):
        return True


def _only_for_an_extra(line: str) -> bool:
    _, _, marker = line.partition(";")
    return "extra" in marker and " or " not in marker


@lru_cache(maxsize=None)
def _requirement(line: str) -> "Optional[Requirement]":
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line)
    except (InvalidRequirement, RecursionError):  # a marker of a thousand brackets
        return None


def _environment(interpreter: Interpreter) -> Dict[str, str]:
    """The marker variables (PEP 508) of the target, which is another Python than the one that runs this."""
    minor = ".".join(str(number) for number in numbers(interpreter.version)[:2])
    system = interpreter.system or "Linux"
    return {
        "python_version": minor,
        "python_full_version": interpreter.version,
        "os_name": "nt" if system == "Windows" else "posix",
        "sys_platform": {"Windows": "win32"}.get(system, system.lower()),
        "platform_system": system,
        "platform_machine": interpreter.machine,
        "platform_release": "",
        "platform_version": "",
        "platform_python_implementation": interpreter.implementation,
        "implementation_name": interpreter.implementation.lower(),
        "implementation_version": interpreter.version,
    }


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
