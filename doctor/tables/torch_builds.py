"""What the default torch wheels were built for (torch_builds.toml)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, Optional, Tuple

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import public


@dataclass(frozen=True)
class TorchRelease:
    """The default Linux x86_64 wheel of some torch releases."""

    versions: Tuple[str, ...]  # ("2.0.0", "2.0.1")
    cuda: str  # "11.7"
    architectures: Tuple[str, ...]  # ("sm_37", ...)
    architectures_evidence: str
    pythons: Tuple[str, ...]  # ("3.8", ...): Pythons that have a wheel
    numpy_2: bool  # works with NumPy 2
    driver_exact: str
    driver_minor: str  # the floor by minor-version compatibility
    glibc: str


@lru_cache(maxsize=None)
def torch_releases() -> Tuple[TorchRelease, ...]:
    """Every row, oldest first."""
    return tuple(TorchRelease(**_frozen(row)) for row in load("torch_builds")["release"])


def _frozen(row: Dict[str, Any]) -> Dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def torch_release(version: str, cuda: Optional[str] = None) -> Optional[TorchRelease]:
    """The row of a torch version ("2.0.1+cu117" and "2.0.1" alike).

    None for a version that is not in the table, or for a build with another CUDA than the row's where `cuda` is given.
    """
    row = next((row for row in torch_releases() if public(version) in row.versions), None)
    return row if row is None or cuda is None or row.cuda == cuda else None
