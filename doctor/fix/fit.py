"""Does one profile fit one machine: every fact that is in its way, in the order in which they are told."""

from dataclasses import dataclass
from enum import Enum
from typing import List, Optional, Tuple

from envdoc.doctor.fix.machine import Card, Machine
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.cuda_drivers import gpu_floor
from envdoc.doctor.tables.versions import numbers

NO_PYTHON = "there is no Python"


class Kind(str, Enum):
    """Which fact of the machine is in the way."""

    PLATFORM = "platform"
    LIBC = "libc"
    PYTHON = "python"
    BROKEN_PYTHON = "broken-python"
    GLIBC = "glibc"
    DISK = "disk"
    GPU_CODE = "gpu-code"
    DRIVER = "driver"
    GPU_DRIVER = "gpu-driver"


@dataclass(frozen=True)
class Obstacle:
    """One fact that keeps a profile from a machine."""

    kind: Kind
    fact: str  # a clause without a full stop that names both sides


def basic_obstacles(profile: Profile, machine: Machine) -> Tuple[Obstacle, ...]:
    """What keeps the profile from being built here at all, GPU and driver aside."""
    found: List[Obstacle] = []
    if (machine.system, machine.arch) != ("Linux", profile.machine):
        here = f"{machine.system} {machine.arch}"
        found.append(Obstacle(Kind.PLATFORM, f"it is locked for Linux {profile.machine}, and this is {here}"))
    elif machine.libc == "musl":
        found.append(
            Obstacle(Kind.LIBC, f"its wheels need glibc {profile.glibc}, and this system's libc is musl")
        )
    same = [python for python in machine.pythons if python.minor == profile.python]
    if not same:
        found.append(Obstacle(Kind.PYTHON, f"{NO_PYTHON} {profile.python} on this machine"))
    elif machine.python_for(profile.python) is None:
        fact = f"`{same[0].path}` {same[0].problem}. {same[0].hint}".rstrip(" .")
        found.append(Obstacle(Kind.BROKEN_PYTHON, fact))
    if machine.glibc and numbers(machine.glibc) < numbers(profile.glibc):
        fact = f"its wheels need glibc {profile.glibc}, and this system has {machine.glibc}"
        found.append(Obstacle(Kind.GLIBC, fact))
    least = least_bytes(profile)
    if machine.free_bytes is not None and machine.free_bytes < least:
        fact = f"it needs {least / 1e9:.1f} GB of disk, and {machine.free_bytes / 1e9:.1f} GB are free"
        found.append(Obstacle(Kind.DISK, fact))
    return tuple(found)


def gpu_obstacles(profile: Profile, machine: Machine) -> Tuple[Obstacle, ...]:
    """Why the profile's CUDA code does not run on every GPU under this driver; nothing for a CPU profile."""
    if profile.is_cpu:
        return ()
    found = [_no_code(profile, card) for card in machine.cards]
    found += [_driver_too_old(profile, machine)]
    found += [_too_old_for(card, machine) for card in machine.cards]
    return tuple(obstacle for obstacle in found if obstacle is not None)


def service(profile: Profile, machine: Machine) -> str:
    """How the driver serves the profile's CUDA: "exact", "minor" (by minor-version compatibility), or "none".

    NVIDIA, CUDA Compatibility, "Minor Version Compatibility": from CUDA 11 on, within one major version.
    """
    if machine.goes_by_cuda:
        has, wanted = numbers(machine.cuda)[:2], numbers(profile.cuda)[:2]
        if has >= wanted:
            return "exact"
        return "minor" if has[:1] == wanted[:1] and wanted[0] >= 11 else "none"
    if not machine.driver or numbers(machine.driver) < numbers(profile.driver_minor):
        return "none"
    return "exact" if numbers(machine.driver) >= numbers(profile.driver_exact) else "minor"


def has_code(profile: Profile, card: Card) -> bool:
    """Whether torch and bitsandbytes both hold binary code for that GPU; True where nobody knows what it is."""
    return _no_code(profile, card) is None


def least_bytes(profile: Profile) -> int:
    """The smallest that the finished environment can be."""
    return profile.cpu_build.venv_bytes if profile.cpu_build else profile.venv_bytes


def _no_code(profile: Profile, card: Card) -> Optional[Obstacle]:
    compiled = (
        (f"torch {profile.torch}", profile.torch_architectures),
        ("its bitsandbytes", profile.bitsandbytes_architectures),
    )
    for library, architectures in compiled:
        if card.capability and serving(architectures, card.capability) != "binary":
            built = ", ".join(architectures)
            fact = f"{library} has no code for {card.code} ({card.name}); it was built for {built}"
            return Obstacle(Kind.GPU_CODE, fact)
    return None


def _driver_too_old(profile: Profile, machine: Machine) -> Optional[Obstacle]:
    if service(profile, machine) != "none":
        return None
    if machine.goes_by_cuda:
        fact = f"the driver serves CUDA {machine.cuda}, and CUDA {profile.cuda} is needed"
    elif machine.driver:
        fact = (
            f"CUDA {profile.cuda} needs driver {profile.driver_minor} or newer, and this is {machine.driver}"
        )
    else:
        fact = "no driver answers"
    return Obstacle(Kind.DRIVER, fact)


def _too_old_for(card: Card, machine: Machine) -> Optional[Obstacle]:
    floor = gpu_floor(card.capability) if card.capability else None
    if floor is None or not machine.driver or numbers(machine.driver) >= numbers(floor):
        return None
    return Obstacle(
        Kind.GPU_DRIVER, f"{card.name} needs driver {floor} or newer, and this is {machine.driver}"
    )
