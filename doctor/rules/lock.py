"""Rules that compare the environment with a lock file (`check --lock FILE`)."""

import re
from typing import Dict, List, Tuple

from envdoc.doctor.facts.snapshot import LockEntry, Snapshot
from envdoc.doctor.rules.machine import install_command, require_packages, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import applies
from envdoc.doctor.tables.versions import public, satisfies

_INSTALLERS = ("pip", "setuptools", "wheel", "uv", "distribute")  # locks leave them out
_KEPT = 20
_ONLY_FOR_CUDA = re.compile(r"nvidia-|cuda-|triton$")  # as scripts/lock tells them apart


@rule("PKG050")
def locked_and_missing(machine: Snapshot) -> List[Problem]:
    """What the lock file names and the environment lacks."""
    entries = _entries(machine)
    installed = {package.name for package in machine.packages}
    missing = [entry for name, entry in entries.items() if name not in installed]
    if not missing:
        return []
    return [_problem(machine, [f"{entry.name}{entry.specifier}" for entry in missing], len(entries))]


@rule("PKG051")
def locked_in_another_version(machine: Snapshot) -> List[Problem]:
    """What the environment has in another version than the lock file names."""
    entries = _entries(machine)
    versions = {
        package.name: package.version for package in reversed(machine.packages)
    }  # the first is imported
    if "torch" in versions:
        versions["torch"] = version_of(machine, "torch") or ""
    other = [
        f"{name} {found} instead of {entry.specifier}"
        for name, entry in entries.items()
        for found in (versions.get(name),)
        if found and entry.specifier and not _fits(found, entry.specifier)
    ]
    return [_problem(machine, other, len(entries))] if other else []


@rule("PKG052")
def not_locked(machine: Snapshot) -> List[Problem]:
    """What the environment has and the lock file does not name."""
    entries = _entries(machine)
    places = set(machine.interpreter.site_packages) or {package.location for package in machine.packages}
    extra = sorted(
        {
            f"{package.name} {package.version}"
            for package in machine.packages
            if package.name not in entries and package.name not in _INSTALLERS and package.location in places
        }
    )
    return [_problem(machine, extra, len(entries), mends=False)] if extra else []


def _entries(machine: Snapshot) -> Dict[str, LockEntry]:
    """The entries whose marker holds for the target, by name.

    Without the CUDA libraries of torch's default wheel where its CPU build is there, which a lock of envdoc's allows
    in its place and which has no use for them.
    """
    if machine.lock is None:
        raise Skip("no lock file was given (`--lock FILE`)")
    require_packages(machine)
    installed = {package.name for package in machine.packages}
    no_cuda = (version_of(machine, "torch") or "").endswith("+cpu")
    return {
        entry.name: entry
        for entry in machine.lock.entries
        if applies(entry.marker, machine.interpreter)
        and not (no_cuda and entry.name not in installed and _ONLY_FOR_CUDA.match(entry.name))
    }


def _fits(found: str, specifier: str) -> bool:
    """PEP 440: a lock without a local label ("torch==2.13.0") fits "2.13.0+cpu"; one with it binds the build."""
    return satisfies(found, specifier) or ("+" not in specifier and satisfies(public(found), specifier))


def _problem(machine: Snapshot, said: List[str], count: int, mends: bool = True) -> Problem:
    lock = machine.lock
    assert lock is not None
    evidence: Tuple[str, ...] = tuple(said[:_KEPT])
    if len(said) > _KEPT:
        evidence += (f"and {len(said) - _KEPT:,} more",)
    values = {
        "first": shorten(said[0], 44),
        "more": f" and {len(said) - 1:,} more" if len(said) > 1 else "",
        "count": len(said),
        "locked": count,
        "file": lock.file,
    }
    commands = (install_command(machine, f"-r '{lock.file}'"),) if mends else ()
    return Problem(values, evidence, affects=("packages",), commands=commands)
