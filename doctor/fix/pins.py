"""The pins of a lock, and which wheel of many suits a Python and a glibc: what pip would read, without pip."""

import re
from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Optional, Tuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from envdoc.doctor.errors import FixError

_HASH = re.compile(r"--hash[= ]sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One line of a lock: the name as PEP 503 writes it, the version, and the hash of every file that is allowed."""

    name: str
    version: str
    sha256s: FrozenSet[str]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Machine:
    """The machine that wheels are for, which need not be this one: its Python, glibc and processor, always Linux."""

    python: str  # "3.11"
    glibc: str = "2.28"
    processor: str = "x86_64"

    def markers(self) -> Dict[str, str]:
        """What the environment markers of a lock are compared with."""
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.99",  # the last of its line; locks compare minors only
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": self.processor,
            "os_name": "posix",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "extra": "",
        }

    def ranks(self) -> Dict[Tag, int]:
        """Every wheel tag that runs there; a smaller number is the better wheel."""
        minor = tuple(int(part) for part in self.python.split(".")[:2])
        platforms = _platforms(self.glibc, self.processor)
        interpreter = f"cp{minor[0]}{minor[1]}"
        tags = [*cpython_tags(minor, platforms=platforms), *compatible_tags(minor, interpreter, platforms)]
        ranks: Dict[Tag, int] = {}
        for place, tag in enumerate(tags):
            ranks.setdefault(tag, place)
        return ranks


def _platforms(glibc: str, processor: str) -> List[str]:
    major, _, minor = glibc.partition(".")
    newest = int(minor or 28) if major == "2" else 28
    old = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    platforms = []
    for number in range(newest, 4, -1):
        platforms.append(f"manylinux_2_{number}_{processor}")
        if number in old:
            platforms.append(f"{old[number]}_{processor}")
    return [*platforms, f"linux_{processor}"]


def read_pins(text: str, machine: Optional[Machine] = None) -> List[Pin]:
    """Every pin of a lock, those aside whose marker does not hold on `machine` (None: this one).

    Raises FixError where a line is no pin with at least one sha256: nothing is ever fetched without one.
    """
    pins = []
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not line or line.startswith("-"):
            continue
        wanted, _, _ = line.partition(" --hash")
        try:
            requirement = Requirement(wanted.strip())
            pinned = [item for item in requirement.specifier if item.operator == "=="]
            version = pinned[0].version if len(requirement.specifier) == 1 and pinned else ""
        except InvalidRequirement as error:
            raise FixError(f"This line of the lock cannot be read: `{wanted.strip()}`.") from error
        hashes = frozenset(_HASH.findall(line))
        if not version or not hashes or version.endswith("*"):
            raise FixError(
                f"`{wanted.strip()}` is not pinned to one version with a sha256.",
                "A lock names every file's hash; `envdoc lock` and `pip-compile --generate-hashes` write such locks.",
            )
        if requirement.marker is None or requirement.marker.evaluate(machine.markers() if machine else None):
            pins.append(Pin(str(canonicalize_name(requirement.name)), version, hashes))
    return pins


def place_of(
    file: str, pin: Pin, ranks: Dict[Tag, int], any_local: bool
) -> Optional[Tuple[Tuple[bool, int], str]]:
    """How well that wheel serves the pin, smaller is better, and its version; None where it does not.

    `any_local`: `2.13.0+cpu` is a file of the pin `2.13.0` too, as its hash is one of the pin's.
    """
    try:
        name, version, _, tags = parse_wheel_filename(file)
    except (InvalidWheelFilename, ValueError):
        return None
    wanted = Version(pin.version)
    same = version == wanted or (any_local and wanted.local is None and Version(version.public) == wanted)
    rank = min((ranks[tag] for tag in tags if tag in ranks), default=-1)
    if name != pin.name or not same or rank < 0:
        return None
    return (version != wanted, rank), str(version)
