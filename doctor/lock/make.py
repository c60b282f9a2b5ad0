"""Make a user's lock: resolve, hash, build as a generation, import, train, and only then write the file.

additions ─> pip-tools under the profile's pins ─> hashes ─> a generation of it (fix/apply.py) ─> proof ─> the file
"""

import dataclasses
import datetime
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from envdoc.doctor.errors import FixError
from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Check, Kind, Severity
from envdoc.doctor.fix.apply import apply, find_installer
from envdoc.doctor.fix.choose import choose
from envdoc.doctor.fix.generations import Generation
from envdoc.doctor.fix.installer import Installer
from envdoc.doctor.fix.plan import make_plan
from envdoc.doctor.fix.profiles import CpuBuild, Profile
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.fix.room import free_bytes
from envdoc.doctor.fix.user_lock import PREFIX, UserLock, pins_of_profile, read_user_lock
from envdoc.doctor.fix.user_pins import Pin
from envdoc.doctor.lock.additions import Additions
from envdoc.doctor.lock.document import UNPROVED, lock_text
from envdoc.doctor.lock.proof import import_all, installed_bytes
from envdoc.doctor.lock.resolve import Conflict, NoWheel, resolve
from envdoc.doctor.lock.tools import pip_tools
from envdoc.doctor.lock.wheels import Wheels, look_up, refuse_sources, source_only
from envdoc.doctor.tables.versions import numbers

Report = Callable[[str], None]
_UNPACKED = 4  # a wheel on the disk against its file, until it was measured; torch's is 3, pure Python's 4


@dataclass(frozen=True)
class Request:
    """What is to be locked, and on what."""

    base: Profile
    python: Python
    additions: Additions
    before: Optional[UserLock] = None  # the lock that was there
    upgrade: Optional[Sequence[str]] = (
        None  # None: keep what it pinned; empty: nothing of it; names: all but those
    )


@dataclass(frozen=True)
class Locked:
    """A lock that passed: its text, its pins and the generation that was built from it."""

    text: str
    pins: Tuple[Pin, ...]
    added: Tuple[Pin, ...]
    profile: Profile
    generation: Generation


def make_lock(
    request: Request,
    profiles: Sequence[Profile],
    snapshot: Snapshot,
    home: Path,
    examine: Callable[[str], Sequence[Check]],
    train: Callable[[str], str],
    report: Report,
    installer: Optional[Installer] = None,
) -> Locked:
    """Resolve, build, prove; the caller writes the text. Raises FixError, and nothing was switched then.

    `examine` judges an interpreter by facts and probes, `train` trains in it and returns one sentence about that.
    `profiles` are those a conflict may point to.
    """
    base = request.base
    held = pins_of_profile(base)
    with tempfile.TemporaryDirectory(prefix="envdoc-lock-") as folder:
        work = Path(folder)
        added, offered = _resolved(request, held, profiles, home, work, report)
        pins = (*held, *added)
        candidate = _candidate(base, added, offered)
        draft = work / "draft.lock.txt"
        draft.write_text(lock_text(candidate, base.name, request.additions, pins), encoding="utf-8")
        profile = read_user_lock(draft, home).profile
        said: List[str] = []
        choice = choose(snapshot, [request.python], [profile], free_bytes(home), profile.name)
        tool = installer or find_installer()
        plan = make_plan([], choice, snapshot, None, tool.name, free_bytes(home), profile.name)

        def check(python: str) -> Sequence[Check]:
            checks = examine(python)
            if not any(item.failed and _refuses(item) for item in checks):
                import_all(python, _installed_names(request.additions), report)
                report("  training 15 steps ...")
                said.append(train(python))
            return checks

        made = apply(plan, home, check, report, tool)
    profile = _measured(profile, base, installed_bytes(str(made.python), [pin.name for pin in added]))
    profile = dataclasses.replace(profile, probe=said[-1], date=_today())
    return Locked(lock_text(profile, base.name, request.additions, pins), pins, added, profile, made)


def _refuses(check: Check) -> bool:
    return check.severity is Severity.ERROR and check.kind is Kind.LIBRARY


def _installed_names(additions: Additions) -> Tuple[str, ...]:
    """The additions that this platform takes: one whose marker says no is not there to be imported."""
    taken = [Requirement(text) for text in additions.requirements]
    return tuple(
        dict.fromkeys(
            str(canonicalize_name(item.name))
            for item in taken
            if item.marker is None or item.marker.evaluate()
        )
    )


def _resolved(
    request: Request, held: Sequence[Pin], profiles: Sequence[Profile], home: Path, work: Path, report: Report
) -> Tuple[Tuple[Pin, ...], Dict[str, Wheels]]:
    base, additions = request.base, request.additions
    versions = {pin.name: pin.version for pin in held}
    kept = {pin.name: pin.version for pin in request.before.pins} if request.before else {}
    kept = {name: version for name, version in kept.items() if name not in versions}
    tool = pip_tools(request.python, home, report)
    report(
        f"Resolving {', '.join(additions.names) or 'nothing'} under the {len(held)} pins of `{base.name}`."
    )
    try:
        found = resolve(tool, additions, versions, base.name, kept, request.upgrade, work)
    except Conflict as conflict:
        raise _with_way_out(conflict, base, profiles) from None
    except NoWheel as missing:
        raise _why_no_wheel(missing, tool, work) from None
    offered = look_up(tool, dict(found), work)
    refuse_sources(additions.requirements, found, offered)
    for name, version in found.items():
        if not offered[name].hashes:
            raise FixError(f"The package index no longer offers a wheel of {name} {version} that fits here.")
    return tuple(Pin(name, found[name], offered[name].hashes) for name in sorted(found)), offered


def _with_way_out(conflict: Conflict, base: Profile, profiles: Sequence[Profile]) -> FixError:
    """The conflict with the nearest way out: a profile that fits this machine and holds what is wanted."""
    for profile in profiles:
        for pin in pins_of_profile(profile) if profile.name != base.name else ():
            if pin.name == conflict.package and conflict.wants.specifier.contains(pin.version):
                return FixError(
                    conflict.message, f"`--profile {profile.name}` holds {pin.name} {pin.version}."
                )
    asked = conflict.asker == "You ask for"
    return FixError(
        conflict.message,
        f"Leave {conflict.package} out: the profile brings the release that was proved to train."
        if asked
        else f"Loosen the bound of what you add, so that a release which goes with {conflict.package} "
        "as the profile has it can be found.",
    )


def _why_no_wheel(missing: NoWheel, tool: Path, work: Path) -> FixError:
    """Not on the index at all, there as source only, or no release within the bound."""
    try:
        requirement = Requirement(missing.requirement)
    except ValueError:
        return missing
    name = str(canonicalize_name(requirement.name))
    offered = look_up(tool, {name: None}, work)[name]
    fitting = [v for v in offered.source_versions if requirement.specifier.contains(v, prereleases=True)]
    if fitting:
        return source_only(name, fitting[-1], offered.versions[-1] if offered.versions else "")
    if offered.versions:
        return FixError(
            f"The package index has no release of {missing.requirement} for this Python.",
            f"The newest that it has is {offered.versions[-1]}.",
        )
    return FixError(
        f"The package index has no package `{name}` that this Python can install.",
        "Look at its spelling; `pip config list` shows the index that was asked.",
    )


def _candidate(base: Profile, added: Sequence[Pin], offered: Dict[str, Wheels]) -> Profile:
    """The base profile with what is added, its sizes not measured yet."""
    more = sum(offered[pin.name].size_bytes for pin in added)
    glibc = max([numbers(base.glibc), *((2, offered[pin.name].glibc_minor) for pin in added)])
    build = base.cpu_build
    if build is not None:
        build = CpuBuild(build.requirement, build.download_bytes + more, build.venv_bytes + _UNPACKED * more)
    return dataclasses.replace(
        base,
        name=PREFIX + base.name,
        title=f"{base.title}, and {len(added)} of yours" if added else base.title,
        glibc=".".join(str(number) for number in glibc),
        download_bytes=base.download_bytes + more,
        venv_bytes=base.venv_bytes + _UNPACKED * more,
        cpu_build=build,
        probe=UNPROVED,
        date=_today(),
    )


def _measured(profile: Profile, base: Profile, added_bytes: int) -> Profile:
    build = profile.cpu_build
    if build is not None and base.cpu_build is not None:
        build = dataclasses.replace(build, venv_bytes=base.cpu_build.venv_bytes + added_bytes)
    return dataclasses.replace(profile, venv_bytes=base.venv_bytes + added_bytes, cpu_build=build)


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()
