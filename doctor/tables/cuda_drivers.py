"""Which NVIDIA driver a CUDA release and a GPU need (cuda_drivers.toml)."""

from typing import Dict, Optional, cast

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import numbers


def exact_floor(cuda: str) -> Optional[str]:
    """The driver from which everything of CUDA `cuda` ("12.4") works; None for a release that is not in the table."""
    return _table("exact").get(_release(cuda))


def minor_floor(cuda: str) -> Optional[str]:
    """The driver from which programs of CUDA `cuda` run at all; the exact floor before CUDA 11."""
    major = str(numbers(cuda)[0]) if numbers(cuda) else ""
    return _table("minor_version_compatible").get(major) or exact_floor(cuda)


def gpu_floor(capability: str) -> Optional[str]:
    """The driver that first knows a GPU of that capability ("10.0"); None where the table has no floor for it."""
    return _table("gpu").get(capability.split(".")[0])


def last_driver(capability: str) -> Optional[str]:
    """The last branch that serves a GPU of that capability ("580"); None where newer ones do."""
    table = _table("last")
    return table.get(capability) or table.get(capability.split(".")[0])


def service(driver: str, driver_cuda: str, cuda: str) -> str:
    """How a driver serves programs of CUDA `cuda`: "exact", "minor" (by minor-version compatibility), "none", or "".

    `driver_cuda` is what cuDriverGetVersion said and goes before the table: it is right for a forward-compatibility
    package over an old kernel driver, and for an old libcuda before a new one. Either may be empty; "" is the answer
    where neither tells.
    """
    wanted, reported = numbers(cuda)[:2], numbers(driver_cuda)[:2]
    exact, minor = exact_floor(cuda), minor_floor(cuda)
    if wanted and reported:
        if reported >= wanted:
            return "exact"
        below = bool(driver and minor and numbers(driver) < numbers(minor))
        return "minor" if reported[0] == wanted[0] and wanted[0] >= 11 and not below else "none"
    if not driver or minor is None:
        return ""
    if exact is not None and numbers(driver) >= numbers(exact):
        return "exact"
    return "minor" if numbers(driver) >= numbers(minor) else "none"


def newest_cuda(driver: str) -> Optional[str]:
    """The newest CUDA release of the table that a driver serves exactly; None for a driver older than all."""
    served = [cuda for cuda, floor in _table("exact").items() if numbers(driver) >= numbers(floor)]
    return max(served, key=numbers) if served else None


def _release(cuda: str) -> str:
    return ".".join(str(number) for number in numbers(cuda)[:2])


def _table(name: str) -> Dict[str, str]:
    return cast(Dict[str, str], load("cuda_drivers")[name])
