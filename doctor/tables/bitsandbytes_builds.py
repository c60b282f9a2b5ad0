"""Which CUDA libraries each series of bitsandbytes ships (bitsandbytes_builds.toml)."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Dict, Optional, Sequence, Tuple

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import numbers

# The first release whose loader takes the nearest library of the same CUDA major (read in its cextension.py).
NEAREST_SINCE = (0, 50)

# LLM.int8() multiplies on int8 tensor cores, which came with Turing (bitsandbytes documentation, "Installation").
INT8_CAPABILITY = (7, 5)


@dataclass(frozen=True)
class BitsandbytesRelease:
    """The wheel of one series that was read."""

    version: str
    cuda: Tuple[str, ...]  # ("11.7", ...): the CUDA releases that it has a library for
    nearest: bool  # takes the nearest library of the same major
    python: str  # specifier; empty: none declared
    torch: str
    architectures: Dict[str, Tuple[str, ...]] = field(default_factory=dict)  # CUDA release -> targets


@lru_cache(maxsize=None)
def bitsandbytes_releases() -> Tuple[BitsandbytesRelease, ...]:
    """Every row, oldest first."""
    return tuple(
        BitsandbytesRelease(
            version=row["version"],
            cuda=tuple(row["cuda"]),
            nearest=row["nearest"],
            python=row["python"],
            torch=row["torch"],
            architectures={cuda: tuple(names) for cuda, names in row.get("architectures", {}).items()},
        )
        for row in load("bitsandbytes_builds")["release"]
    )


def bitsandbytes_release(version: str) -> Optional[BitsandbytesRelease]:
    """The row of the series that a version belongs to ("0.45.2" is in the series of "0.45.5"), or None."""
    return next(
        (row for row in bitsandbytes_releases() if numbers(row.version)[:2] == numbers(version)[:2]), None
    )


def library_for(version: str, shipped: Sequence[str], cuda: str) -> Optional[str]:
    """The CUDA release of the library that bitsandbytes `version` opens for a torch of CUDA `cuda`; None for none.

    `shipped` are the CUDA releases of the libraries that are there. Exact match first; from 0.50 then the highest
    older one of the same major, then the lowest newer one of it.
    """
    if cuda in shipped:
        return cuda
    if numbers(version)[:2] < NEAREST_SINCE:
        return None
    wanted = numbers(cuda)
    family = sorted((other for other in shipped if numbers(other)[:1] == wanted[:1]), key=numbers)
    older = [other for other in family if numbers(other) <= wanted]
    return older[-1] if older else (family[0] if family else None)
