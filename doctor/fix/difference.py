"""What a plan changes, package by package: the target as it is beside the lock of the plan's profile."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.fix.profiles import Profile

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*?)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
# Every environment is made with pip, and below Python 3.12 with setuptools: a lock need not name them.
_BROUGHT_BY_VENV = ("pip", "setuptools")


@dataclass(frozen=True)
class Difference:
    """Packages by normalised name: (name, version) that come or go, (name, old, new) that change; and what stays."""

    added: Tuple[Tuple[str, str], ...] = ()
    removed: Tuple[Tuple[str, str], ...] = ()
    changed: Tuple[Tuple[str, str, str], ...] = ()
    unchanged: int = 0

    def to_json(self) -> Dict[str, Any]:
        """The packages as plain data: lists of {"name", "version"} or {"name", "from", "to"}."""
        return {
            "added": [{"name": name, "version": version} for name, version in self.added],
            "removed": [{"name": name, "version": version} for name, version in self.removed],
            "changed": [{"name": name, "from": old, "to": new} for name, old, new in self.changed],
            "unchanged": self.unchanged,
        }

    def lines(self) -> List[str]:
        """`- torch 2.0.1` and `+ torch 2.11.0`, sorted by name; nothing of what stays."""
        told = [(name, 0, f"- {name} {old}") for name, old, _ in self.changed]
        told += [(name, 1, f"+ {name} {new}") for name, _, new in self.changed]
        told += [(name, 0, f"- {name} {version}") for name, version in self.removed]
        told += [(name, 1, f"+ {name} {version}") for name, version in self.added]
        return [line for _, _, line in sorted(told)]


def pins(locks: Sequence[Path]) -> Dict[str, str]:
    """Normalised name to version, of every `name==version` line of the lockfiles.

    Raises OSError where one cannot be read.
    """
    return {
        normalised(name): version
        for lock in locks
        for name, version in _PIN.findall(lock.read_text(encoding="utf-8"))
    }


def difference(snapshot: Snapshot, profile: Profile) -> Difference:
    """The target's packages beside the pins of the profile; the CUDA wheels of torch's default build among them."""
    locks = [profile.lock, profile.cuda_lock] if profile.cuda_lock is not None else [profile.lock]
    wanted = pins([lock for lock in locks if lock is not None])
    return compare({normalised(package.name): package.version for package in _first(snapshot)}, wanted)


def compare(there: Mapping[str, str], wanted: Mapping[str, str]) -> Difference:
    """Two sets of packages, name to version."""
    both = sorted(set(there) & set(wanted))
    gone = sorted(set(there) - set(wanted) - set(_BROUGHT_BY_VENV))
    changed = tuple((name, there[name], wanted[name]) for name in both if there[name] != wanted[name])
    return Difference(
        added=tuple((name, wanted[name]) for name in sorted(set(wanted) - set(there))),
        removed=tuple((name, there[name]) for name in gone),
        changed=changed,
        unchanged=len(both) - len(changed),
    )


def normalised(name: str) -> str:
    """`Huggingface_Hub` as `huggingface-hub` (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _first(snapshot: Snapshot) -> Tuple[Any, ...]:
    """The package that is imported of each name: the first on the search path."""
    return tuple({package.name: package for package in reversed(snapshot.packages)}.values())
