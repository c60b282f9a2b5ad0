"""Put a plan together: the target's files, what its probes are known to have seen, the choice, rate and disks.

The plan alone runs no probe: it uses what `envdoc check` saw of the same target in the same state, where that is
kept, and says so. Pythons and installers are asked in threads beside the look at the files.
"""

import dataclasses
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

from envdoc.doctor.commands.output import announce
from envdoc.doctor.facts.self_description import ask_ahead
from envdoc.doctor.finding import Check, Status, Target
from envdoc.doctor.home import home
from envdoc.doctor.target import choose_target

if TYPE_CHECKING:
    from envdoc.doctor.facts.snapshot import Snapshot
    from envdoc.doctor.fix.plan import Plan
    from envdoc.doctor.fix.profiles import Profile
    from envdoc.doctor.fix.user_lock import UserLock

_NOT_RUN = re.compile(r"\bprobe\b.* was (?:not )?run$")


@dataclasses.dataclass(frozen=True)
class Planned:
    """A plan, and the facts that it was made of."""

    plan: "Plan"
    snapshot: "Snapshot"
    target: Target


def plan_for(
    python: Optional[str],
    wanted: Optional[str],
    only: Sequence[str],
    apply: bool = False,
    probes: bool = False,
    diff: bool = False,
    wheelhouse: Optional[Path] = None,
    named_lock: Optional[Path] = None,
    rebuild: bool = False,
    kernel: bool = False,
) -> Planned:
    """The plan for the target. With `probes` they are run.

    `rebuild` and `kernel` are what the caller asked for: either may want a generation that no finding needs.

    With `apply` they are run too where the files alone give no reason to build: a torch that does not import shows
    nowhere else. `--only` with a code that only a probe tells runs them as well.
    """
    target = choose_target(python, os.environ, home())
    ask_ahead(target.path)
    with ThreadPoolExecutor(3) as beside:
        pythons = beside.submit(_pythons)
        asked_installer = beside.submit(_installer)
        from envdoc.doctor.examine import look
        from envdoc.doctor.fix.profiles import load_profiles
        from envdoc.doctor.last_check import remember, remembered
        from envdoc.doctor.rules.registry import judge

        profiles = load_profiles()
        if wanted is not None:
            from envdoc.doctor.fix.choose import require

            require(wanted, profiles)  # before anything is looked at
        lock = project_lock(named_lock) if wanted is None else None
        if lock is not None:
            announce(f"Building what `{lock.path}` holds.")
            profiles, wanted = (lock.profile, *profiles), lock.profile.name
        if wheelhouse is not None:
            from envdoc.doctor.fix.wheelhouse import held_profiles

            profiles = held_profiles(wheelhouse, profiles, wanted)
        announce(f"Examining {target.path}: {target.reason}.")
        snapshot, known, at = look(target, quick=not probes), "run" if probes else "not run", ""
        kept = None if probes else remembered(snapshot, home())
        if kept is not None:
            snapshot, known, at = dataclasses.replace(snapshot, probes=kept[0]), "remembered", kept[1]
        checks = judge(snapshot)
        asked = only and any(
            check.code.startswith(tuple(only)) and check.status is Status.SKIPPED for check in _unrun(checks)
        )
        installer, cache = asked_installer.result()
        extra = _asked_for(rebuild, kernel)
        plan = _assembled(checks, snapshot, pythons.result(), installer, profiles, wanted, only, extra)
        if lock is not None:
            _require_fit(lock, plan, snapshot, pythons.result(), named_lock is None)
        if (
            known == "not run"
            and not snapshot.interpreter.error
            and (asked or (apply and not only and not plan.builds))
        ):
            snapshot, known = look(target), "run"
            checks = judge(snapshot)
            plan = _assembled(checks, snapshot, pythons.result(), installer, profiles, wanted, only, "")
    if known == "run":
        remember(snapshot, home())
    if known == "not run" and (snapshot.package("torch") is None or not _unrun(checks)):
        known = ""  # there is nothing that a probe could tell
    plan = dataclasses.replace(plan, probes=known, probes_at=at)
    plan = _completed(plan, snapshot, cache, diff)
    if rebuild:
        plan = dataclasses.replace(plan, reuses="")
    return Planned(plan, snapshot, target)


def _asked_for(rebuild: bool, kernel: bool) -> str:
    """Why a new generation is wanted although no finding needs one; "" where it is not."""
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.kernel import has_ipykernel

    if rebuild:
        return "You asked for it with `--rebuild`."
    current = Generations(home()).current() if kernel else None
    if kernel and current is None:
        return "You asked for a Jupyter kernel, and no generation is in use."
    if current is not None and not has_ipykernel(current.folder):
        return f"You asked for a Jupyter kernel, and `{current.name}` has no ipykernel."
    return ""


def project_lock(named: Optional[Path]) -> "Optional[UserLock]":
    """The lock that was named, or the one in this folder. Raises FixError where it is not as `envdoc lock` made it."""
    from envdoc.doctor.fix.user_lock import find_lock, read_user_lock

    path = find_lock(named, Path())
    return read_user_lock(path, home()) if path is not None else None


def _require_fit(
    lock: "UserLock", plan: "Plan", snapshot: "Snapshot", pythons: Sequence[Any], automatic: bool
) -> None:
    """Raise FixError with the one fact where the project's own lock does not fit this machine."""
    from envdoc.doctor.fix.choose import choose
    from envdoc.doctor.fix.room import free_bytes
    from envdoc.doctor.fix.user_lock import require_fit

    free = free_bytes(home())
    require_fit(lock, plan.choice, lambda some: choose(snapshot, pythons, some, free), automatic=automatic)


def _unrun(checks: Sequence[Check]) -> List[Check]:
    """Checks that could not judge because no probe was run."""
    return [
        check for check in checks if check.status is Status.SKIPPED and _NOT_RUN.search(check.detail.strip())
    ]


def _assembled(
    checks: Sequence[Check],
    snapshot: "Snapshot",
    pythons: Sequence[Any],
    installer: Any,
    profiles: Sequence[Any],
    wanted: Optional[str],
    only: Sequence[str],
    asked: str,
) -> "Plan":
    from envdoc.doctor.examine import redacted_check
    from envdoc.doctor.fix.choose import choose
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.in_place import steps_for
    from envdoc.doctor.fix.plan import make_plan
    from envdoc.doctor.fix.room import free_bytes

    free = free_bytes(home())
    return make_plan(
        [redacted_check(check) for check in checks if check.failed],
        choose(snapshot, pythons, profiles, free, wanted),
        snapshot,
        Generations(home()).current(),
        installer.name,
        free,
        wanted,
        only,
        asked,
        in_place=lambda check: steps_for(check, snapshot, os.environ, home()),
    )


def _completed(plan: "Plan", snapshot: "Snapshot", cache: Optional[Path], diff: bool) -> "Plan":
    """The plan with the disks it needs, the measured rate, and what changes."""
    from envdoc.doctor.fix.difference import Difference, difference
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.rate import known as known_rate

    profile = plan.choice.profile if plan.builds else None
    if diff:
        changes = difference(snapshot, profile) if profile is not None else Difference()
        plan = dataclasses.replace(plan, difference=changes)
    if profile is None:
        return plan
    from envdoc.doctor.fix.room import rooms

    smallest = profile.cpu_build or profile
    found = rooms(home(), cache, plan.installer, smallest.download_bytes, smallest.venv_bytes)
    same = [item for item in Generations(home()).list() if item.lock_sha256 == profile.lock_sha256]
    return dataclasses.replace(
        plan,
        rooms=found,
        rate=known_rate(home()),
        reuses=same[-1].name if same else "",
        cached_bytes=_cached(plan, profile, cache),
    )


def _cached(plan: "Plan", profile: "Profile", cache: Optional[Path]) -> Optional[int]:
    """What is here already of the one lock that is surely installed; with a CPU build to try first nobody knows."""
    from envdoc.doctor.fix.cached import cached_bytes

    if plan.installer != "uv" or profile.cpu_build is not None:
        return None
    return cached_bytes([profile.lock], home(), cache)


def _pythons() -> Tuple[Any, ...]:
    from envdoc.doctor.fix.pythons import available_pythons

    return available_pythons()


def _installer() -> Tuple[Any, Optional[Path]]:
    """The installer and the folder of its cache; both are asked for by starting it."""
    from envdoc.doctor.fix.apply import find_installer
    from envdoc.doctor.fix.room import cache_folder

    found = find_installer()
    return found, cache_folder(found.name, getattr(found, "program", None))
