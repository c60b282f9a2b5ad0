"""Rules about compiled extensions that this Python or this system cannot load, whatever torch is."""

from typing import List, Tuple, Union

from envdoc.doctor.facts.snapshot import Extension, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.extension_words import (
    extension_name,
    load_severity,
    reinstall,
    require_extensions,
)
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule
from envdoc.doctor.rules.requirements import training_packages
from envdoc.doctor.tables.extensions import extension_use, is_known_extension


@rule("PKG020")
def extension_of_another_python(machine: Snapshot) -> Union[List[Problem], Passed]:
    """Extension modules that are all named for another Python, where no tag of a wheel says so (PKG016 reads those)."""
    told = require_extensions(machine)
    if not machine.interpreter.version or machine.interpreter.implementation != "CPython":
        raise Skip("the version of the target's CPython is not known")
    judged = [found for found in told.found if found.version and not _has_tags(machine, found)]
    if not judged:
        raise Skip("every extension has a wheel's tags, which PKG016 judges")
    problems = []
    for found in judged:
        if all(library.other_python for library in found.libraries):
            values = {
                "name": extension_name(found, 30),
                "python": machine.interpreter.version,
                "file": found.libraries[0].file,
            }
            evidence = tuple(library.file for library in found.libraries[:5])
            severity = load_severity(machine, found)
            problems.append(Problem(values, evidence, (found.name,), severity, reinstall(machine, found)))
    return problems or Passed({"names": ", ".join(extension_name(found) for found in judged)})


@rule("PKG021")
def system_too_old(machine: Snapshot) -> Union[List[Problem], Passed]:
    """An extension that was compiled on a newer system: glibc or libstdc++ here lack the versions that it needs."""
    told = require_extensions(machine)
    training = training_packages(machine.packages, machine.interpreter)
    problems = []
    for found in told.found:
        lacking = [library for library in found.libraries if library.versions]
        if not lacking:
            continue
        version = lacking[0].versions[0]
        is_glibc = version.startswith("GLIBC_")
        own = f"glibc {told.glibc}" if is_glibc else "this system's libstdc++"
        newest = f"libstdc++ up to {told.newest_libstdcxx}" if told.newest_libstdcxx else "an older libstdc++"
        values = {
            "name": extension_name(found),
            "version": shorten(version, 20),
            "own": shorten(own, 24),
            "has": own if is_glibc else newest,
            "file": lacking[0].file,
            "library": "libc.so.6" if is_glibc else "libstdc++.so.6",
            "effect": extension_use(found.name).effect
            if is_known_extension(found.name)
            else "its import fails",
            "advice": (
                "glibc is the system's own and cannot be replaced by itself: build it on this machine, take a wheel "
                "with an older manylinux tag, or take a newer image"
                if is_glibc
                else "build it on this machine, or install a newer libstdc++ (conda's package libstdcxx-ng has one)"
            ),
        }
        evidence = tuple(f"{library.file}: needs {', '.join(library.versions)}" for library in lacking[:5])
        severity = Severity.ERROR if found.name in training else load_severity(machine, found)
        problems.append(Problem(values, evidence, (found.name,), severity, commands=_rebuild(machine, found)))
    return problems or Passed({"count": len(told.found)})


def _has_tags(machine: Snapshot, found: Extension) -> bool:
    told = machine.integrity.distributions if machine.integrity is not None else ()
    return any(d.wheel_tags for d in told if d.name == found.name and d.location == found.location)


def _rebuild(machine: Snapshot, found: Extension) -> Tuple[str, ...]:
    if not found.version or not machine.interpreter.has_pip:
        return ()
    wanted = f"{found.name}=={found.version}"
    python = machine.interpreter.path or "python3"
    return (
        f"{python} -m pip install --force-reinstall --no-deps --no-binary {found.name} --no-build-isolation {wanted}",
    )
