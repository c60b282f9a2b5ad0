"""The nearest way out where no profile fits, or a GPU stays unused: the cheapest change after which one does.

Found by comparing, not by rules of thumb: for every profile the machine is changed, one obstacle after the other, until
the profile fits; the profile with the fewest and cheapest changes wins.
"""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from envdoc.doctor.fix.fit import (
    Kind,
    Obstacle,
    basic_obstacles,
    gpu_obstacles,
    has_code,
    least_bytes,
    service,
)
from envdoc.doctor.fix.machine import Machine
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.tables.cuda_drivers import gpu_floor, last_driver
from envdoc.doctor.tables.versions import numbers

# Cheapest first: a minute and no root; a package; a GPU less; root and a reboot; another image; another machine.
_COST = {
    Kind.BROKEN_PYTHON: 1,
    Kind.DISK: 1,
    Kind.PYTHON: 2,
    Kind.DRIVER: 4,
    Kind.GPU_DRIVER: 4,
    Kind.GPU_CODE: 5,
    Kind.GLIBC: 6,
    Kind.LIBC: 6,
    Kind.PLATFORM: 9,
}
_COST_OF_LAST_RESORT = 3  # an old stack for the whole project: dearer than a driver where that is one's own
_COST_OF_HOST_DRIVER = 3  # in a container somebody else has to do it
_MOST_CHANGES = 6
_COMPATIBLE_BRANCHES = ("470", "525", "535", "550")
_DATA_CENTRE = re.compile(
    r"\b(Tesla|[PV]100|P40?|T4|A100|A800|A[123]0|A10G|A16|A40|A2|L4|L20|L40S?|G?H\d{2,3})\b"
)


@dataclass(frozen=True)
class WayOut:
    """What is in the way of the profile that is nearest to fitting, and the changes after which it fits."""

    profile: str
    kind: str  # of the first obstacle, a `Kind`
    fact: str  # the first obstacle; the only one where `changes` holds one
    changes: Tuple[str, ...]  # one sentence each, without its full stop

    @property
    def text(self) -> str:
        """The changes and what they lead to, as one line."""
        steps = "; ".join(self.changes)
        return f"{steps}: then `{self.profile}` fits."

    def to_json(self) -> Dict[str, Any]:
        """Plain data."""
        return {
            "profile": self.profile,
            "kind": self.kind,
            "fact": self.fact,
            "changes": list(self.changes),
        }


def nearest(
    profiles: Sequence[Profile], machine: Machine, rank: Callable[[Profile, Machine], Tuple[Any, ...]]
) -> Optional[WayOut]:
    """The way out to the profile for this machine's GPUs, or to any where it has none; None where there is none.

    `rank` orders two profiles that the same changes lead to, as the choice itself does; smaller is better.
    """
    found: List[Tuple[Tuple[Any, ...], WayOut]] = []
    for profile in profiles:
        if machine.cards and profile.is_cpu:
            continue
        way = _to(profile, machine)
        if way is None:
            continue
        obstacles, changes, after = way
        cost = (
            sum(_COST[obstacle.kind] for obstacle in obstacles) + _COST_OF_LAST_RESORT * profile.last_resort
        )
        if machine.is_container and after.driver != machine.driver:
            cost += _COST_OF_HOST_DRIVER
        first = obstacles[0]
        # A driver is updated once: the lowest that does, unless it leads to the last resort. Of a disk likewise.
        least = numbers(after.driver) if after.driver != machine.driver else ()
        size = least_bytes(profile) if first.kind is Kind.DISK else 0
        key = (len(changes), cost, profile.last_resort, least, size, rank(profile, after))
        found.append((key, WayOut(profile.name, first.kind.value, first.fact, changes)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _to(
    profile: Profile, machine: Machine
) -> Optional[Tuple[Tuple[Obstacle, ...], Tuple[str, ...], Machine]]:
    """The obstacles met, the changes against them, and the machine after them; None where one cannot be changed."""
    met: List[Obstacle] = []
    changes: List[str] = []
    for _ in range(_MOST_CHANGES):
        left = basic_obstacles(profile, machine)
        if not left and machine.cards:
            left = gpu_obstacles(profile, machine)
        if not left:
            return (tuple(met), tuple(changes), machine) if met else None
        changed = _without(left[0], profile, machine)
        if changed is None:
            return None
        met.append(left[0])
        changes.append(changed[0])
        machine = changed[1]
    return None


def _without(obstacle: Obstacle, profile: Profile, machine: Machine) -> Optional[Tuple[str, Machine]]:
    """The change that takes the obstacle away, in words, and the machine after it."""
    kind, changed = obstacle.kind, dataclasses.replace
    if kind is Kind.DISK:
        missing = (least_bytes(profile) - (machine.free_bytes or 0)) / 1e9
        words = f"Free {max(missing, 0.1):.1f} GB, or name a folder on another disk with ENVDOC_HOME"
        return words, changed(machine, free_bytes=least_bytes(profile))
    if kind in (Kind.PYTHON, Kind.BROKEN_PYTHON):
        new = Python(profile.python, "python" + profile.python, profile.python)
        return _python_words(profile, machine, kind), changed(machine, pythons=(*machine.pythons, new))
    if kind is Kind.GPU_CODE:
        return _fewer_cards(profile, machine)
    if kind in (Kind.DRIVER, Kind.GPU_DRIVER):
        return _newer_driver(profile, machine)
    if kind in (Kind.GLIBC, Kind.LIBC):
        words = f"Use an image with glibc {profile.glibc} or newer (Ubuntu 20.04, Debian 10, RHEL 8 or newer)"
        return words, changed(machine, glibc=profile.glibc, libc="glibc")
    if machine.system == "Windows":
        words = "Run envdoc in WSL 2 on this computer, which is Linux x86_64"
    else:
        words = f"Use a Linux {profile.machine} machine"
    return words, changed(machine, system="Linux", arch=profile.machine, is_wsl=machine.system == "Windows")


def _python_words(profile: Profile, machine: Machine, kind: Kind) -> str:
    minor = profile.python
    package = f"`sudo apt-get install python{minor} python{minor}-venv`"
    if kind is Kind.BROKEN_PYTHON:
        there = next(python for python in machine.pythons if python.minor == minor)
        if there.hint:
            return f"Complete Python {minor}. {there.hint}".rstrip(" .")
    return f"Install Python {minor}: `uv python install {minor}`, or where the system offers it {package}"


def _fewer_cards(profile: Profile, machine: Machine) -> Optional[Tuple[str, Machine]]:
    kept = tuple(card for card in machine.cards if has_code(profile, card))
    if not kept:
        return None
    names = ", ".join(dict.fromkeys(card.name for card in machine.cards if card not in kept))
    visible = ",".join(str(card.index) for card in kept)
    words = f"Leave out {names} with `export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={visible}`"
    return words, dataclasses.replace(machine, cards=kept)


def _newer_driver(profile: Profile, machine: Machine) -> Optional[Tuple[str, Machine]]:
    """The lowest driver that serves the profile's CUDA and knows every GPU; None where no driver is for both."""
    known = [card.capability for card in machine.cards if card.capability]
    floors = [profile.driver_minor, *(gpu_floor(capability) or "" for capability in known)]
    wanted = max((floor for floor in floors if floor), key=numbers)
    for capability in known:
        last = last_driver(capability)
        if last is not None and numbers(wanted)[:1] > numbers(last)[:1]:
            return None
    after = dataclasses.replace(machine, driver=wanted, cuda="", cuda_init_code=None)
    if machine.libcuda == "behind" and numbers(machine.driver) >= numbers(wanted):
        own = dataclasses.replace(machine, cuda="", cuda_init_code=None)
        if service(profile, own) != "none":
            return "Take the older libcuda off the loader's path (`envdoc check` names it)", own
    where = ""
    if machine.is_wsl:
        where = ", on Windows: WSL uses that one"
    elif machine.is_container:
        where = ", on the host: a container uses that one"
        compat = _compat_package(profile, machine)
        where += (
            f" (or install {compat} in the image: NVIDIA supports it on data-centre GPUs)" if compat else ""
        )
    verb = "Update" if machine.driver or machine.cuda else "Install"
    return f"{verb} the NVIDIA driver{' to' if verb == 'Update' else ''} {wanted} or newer{where}", after


def _compat_package(profile: Profile, machine: Machine) -> str:
    """NVIDIA's forward-compatibility package for that CUDA, where this driver branch and these GPUs may use it.

    NVIDIA, CUDA Compatibility, "Forward Compatibility" (data-centre GPUs), and the release notes of its containers of
    2025 and 2026: drivers R470, R525, R535 and R550 only. A GPU that the driver does not know stays unknown to it.
    """
    branch = machine.driver.split(".")[0]
    known = all(_DATA_CENTRE.search(card.name) for card in machine.cards)
    floors = [gpu_floor(card.capability) for card in machine.cards if card.capability]
    new = any(floor and numbers(machine.driver) < numbers(floor) for floor in floors)
    if branch not in _COMPATIBLE_BRANCHES or not known or new:
        return ""
    return "cuda-compat-" + profile.cuda.replace(".", "-")
