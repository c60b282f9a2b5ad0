"""A rule about one library that is years older than its siblings: a resolver went back without a word."""

import re
from typing import List, Tuple

from envdoc.doctor.facts.snapshot import Package, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_packages, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.requirements import needs
from envdoc.doctor.tables.release_dates import not_after, not_before
from envdoc.doctor.tables.versions import specifiers

# They are released together and are meant to be of one time. An old torch, bitsandbytes or numpy is kept on purpose,
# for a driver or a GPU; they count as siblings and are not judged.
_SIBLINGS = ("transformers", "accelerate", "peft", "datasets", "trl")
_DECIDED_BY_METADATA = ("tokenizers", "huggingface-hub", "safetensors")
_NEWER_SIBLINGS = 2
_INFO_MONTHS, _WARNING_MONTHS = 24, 30
_CEILING = re.compile(r"<|==|~=|===")


@rule("PKG040")
def years_older_than_siblings(machine: Snapshot) -> List[Problem]:
    """One library of the stack is years older than the others, which nobody chooses."""
    require_packages(machine)
    found = [
        package for package in map(machine.package, _SIBLINGS) if package is not None and package.version
    ]
    if len(found) <= _NEWER_SIBLINGS:
        raise Skip("fewer than three libraries are there to be compared")
    problems = []
    for package in found:
        newest = not_after(package.name, package.version)
        if newest is None:
            continue
        newer = [
            (month - newest, sibling)
            for sibling in found
            for month in (not_before(sibling.name, sibling.version),)
            if month is not None and month - newest >= _INFO_MONTHS
        ]
        if (
            len(newer) < _NEWER_SIBLINGS or len(newer) < len(found) - 2
        ):  # two old ones among many may be meant
            continue
        newer.sort(key=lambda pair: -pair[0])
        gap = newer[_NEWER_SIBLINGS - 1][0]  # by which at least two siblings are newer
        sibling = newer[0][1]
        reasons = _ceilings(machine, package)
        values = {
            "name": shorten(f"{package.name} {package.version}", 26),
            "year": newest // 12,
            "sibling": shorten(f"{sibling.name} {sibling.version}", 26),
            "sibling_year": (not_before(sibling.name, sibling.version) or 0) // 12,
            "reason": _because(reasons),
        }
        evidence = tuple(f"{s.name} {s.version}: at least {months // 12} years newer" for months, s in newer)
        severity = Severity.WARNING if gap >= _WARNING_MONTHS else Severity.INFO
        problems.append(Problem(values, (*evidence, *reasons), affects=(package.name,), severity=severity))
    return problems


def _ceilings(machine: Snapshot, package: Package) -> Tuple[str, ...]:
    """Who keeps the package, or something that it needs, from being newer: "numba 0.56.4 wants numpy<1.24"."""
    all_needs = needs(machine.packages, machine.interpreter)
    its_own = {need.name for need in all_needs if need.owner == package.name} - {"torch"}
    bounded = [
        need
        for need in all_needs
        if need.owner != package.name
        and need.name in {package.name, *its_own}
        and _CEILING.search(need.specifier)
    ]
    held = [
        need
        for need in bounded
        if need.found is not None and specifiers(need.specifier) is not None and need.found
    ]
    held.sort(key=lambda need: (need.name != package.name, need.owner))
    return tuple(f"{need.owner} {need.owner_version} wants {need.text}" for need in held[:6])


def _because(reasons: Tuple[str, ...]) -> str:
    if not reasons:
        return "No installed package bounds it, so it was pinned by hand, or what bounded it is gone"
    return f"What may keep it from being newer: {'; '.join(reasons)}"
