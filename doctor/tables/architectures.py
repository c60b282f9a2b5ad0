"""Which GPU a compiled CUDA library serves.

A binary for X.y runs on every X.z with z >= y and on no other major (NVIDIA, CUDA C++ Programming Guide, "Binary
Compatibility"): sm_86 serves 8.9 and not 9.0. PTX for X.y is compiled by the driver for any later GPU. A suffix
"a" (sm_90a) binds the code to exactly that GPU; a suffix "f" (sm_100f) to its family, which is its major.
"""

import re
from typing import Iterable, NamedTuple, Optional, Tuple

_NAME = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)$")


class Architecture(NamedTuple):
    """One target of a CUDA library: `sm_86` is binary code, `compute_90` is PTX."""

    is_ptx: bool
    capability: Tuple[int, int]
    suffix: str


def architecture(name: str) -> Optional[Architecture]:
    """The target of that name; None for names of other makers ("gfx90a")."""
    match = _NAME.match(name.strip())
    if match is None:
        return None
    kind, major, minor, suffix = match.groups()
    return Architecture(kind == "compute", (int(major), int(minor)), suffix)


def capability_of(text: str) -> Optional[Tuple[int, int]]:
    """(9, 0) for "9.0"; None for anything else."""
    match = re.match(r"(\d+)\.(\d+)$", text.strip())
    return (int(match.group(1)), int(match.group(2))) if match else None


def serving(names: Iterable[str], capability: str) -> str:
    """How a library with these targets serves a GPU: "binary", "ptx" (compiled by the driver), or "" for not at all.

    An unreadable capability is served by nothing; ask only about GPUs whose capability was told.
    """
    gpu = capability_of(capability)
    if gpu is None:
        return ""
    targets = [target for target in map(architecture, names) if target is not None]
    if any(_binary_serves(target, gpu) for target in targets if not target.is_ptx):
        return "binary"
    return "ptx" if any(_ptx_serves(target, gpu) for target in targets if target.is_ptx) else ""


def _binary_serves(target: Architecture, gpu: Tuple[int, int]) -> bool:
    if target.suffix == "a":
        return target.capability == gpu
    return target.capability[0] == gpu[0] and target.capability[1] <= gpu[1]


def _ptx_serves(target: Architecture, gpu: Tuple[int, int]) -> bool:
    if target.suffix == "a":
        return target.capability == gpu
    if target.suffix == "f":
        return target.capability[0] == gpu[0] and target.capability[1] <= gpu[1]
    return target.capability <= gpu
