"""Versions that cannot work together although nothing declares it (couplings.toml)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, Optional, Tuple

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import parsed, satisfies

_REQUIREMENT = re.compile(r"([a-z0-9-]+)\s*(.*)$")


@dataclass(frozen=True)
class Coupling:
    """One row: the versions, what happens, and how that is known."""

    slug: str
    code: str  # the rule that reports it
    pair: Tuple[Tuple[str, str], ...]  # (("transformers", ">=4.32,<4.40"), ("accelerate", ">=1.0"))
    effect: str
    symptom: str
    works: str
    evidence: str
    absent: str = ""  # a package that must be missing for the row to hold
    severity: str = "error"
    needs_gpu: bool = False
    python: str = ""  # ">=3.12": the row holds on these versions of Python alone; empty for all
    links: Tuple[str, ...] = ()

    def holds(self, version_of: Callable[[str], Optional[str]], python: str = "") -> bool:
        """True where every package of the pair is installed in those versions and the absent one is not.

        `version_of` tells the installed version of a normalised name, or None; `python` is the target's version.
        """
        if self.python and not (python and satisfies(python, self.python)):
            return False
        if self.absent and version_of(self.absent) is not None:
            return False
        installed = [(version_of(name), specifier) for name, specifier in self.pair]
        return all(
            version is not None and parsed(version) is not None and satisfies(version, wanted)
            for version, wanted in installed
        )  # a version that cannot be read fits everything, and is blamed for nothing


@lru_cache(maxsize=None)
def couplings(code: str = "") -> Tuple[Coupling, ...]:
    """The rows that a rule reports, or all of them. Raises ValueError where a row is malformed."""
    rows = tuple(_coupling(dict(row)) for row in load("couplings")["coupling"])
    return tuple(row for row in rows if not code or row.code == code)


def torch_minimum(transformers: str) -> Optional[str]:
    """The torch below which that transformers silently disables torch, or None where it was not looked at."""
    rows = load("couplings")["torch_minimum"].items()
    return next((minimum for versions, minimum in rows if satisfies(transformers, versions)), None)


def _coupling(row: "dict[str, object]") -> Coupling:
    pair = tuple(_requirement(str(text)) for text in row.pop("pair"))  # type: ignore[attr-defined]
    links = tuple(str(link) for link in row.pop("links", ()))  # type: ignore[attr-defined]
    return Coupling(pair=pair, links=links, **row)  # type: ignore[arg-type]


def _requirement(text: str) -> Tuple[str, str]:
    match = _REQUIREMENT.match(text)
    if match is None:
        raise ValueError(f"couplings.toml: `{text}` is no requirement.")
    return match.group(1), match.group(2)
