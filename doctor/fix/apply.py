"""Carry out a plan: build beside, check, and only then switch. Whatever happens before the switch changes nothing.

interrupted builds removed ─> a whole generation of the same lock that still passes? ─> switch to it
                            └> disk ─> environment ─> install ─> pip check ─> proof ─> receipt ─> switch
"""

from pathlib import Path
from typing import List, Optional, Sequence

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.build import Build, Examine, errors_of
from envdoc.doctor.fix.choose import way_out
from envdoc.doctor.fix.delivery import clear
from envdoc.doctor.fix.generations import Generation, Generations
from envdoc.doctor.fix.installer import Installer, Report
from envdoc.doctor.fix.kernel import has_ipykernel
from envdoc.doctor.fix.new_environment import base_problem
from envdoc.doctor.fix.pip_installer import PipInstaller
from envdoc.doctor.fix.plan import Plan
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.room import demand_disk
from envdoc.doctor.fix.uv_installer import find_uv
from envdoc.doctor.fix.wheelhouse import require_complete


def find_installer() -> Installer:
    """uv where it is there, and otherwise the new environment's own pip."""
    return find_uv() or PipInstaller()


def apply(
    plan: Plan,
    home: Path,
    check: Examine,
    report: Report,
    installer: Optional[Installer] = None,
    wheelhouse: Optional[Path] = None,
    accepted_codes: Sequence[str] = (),
    prove: Optional[Examine] = None,
    rebuild: bool = False,
    with_kernel: bool = False,
) -> Generation:
    """Build the plan's generation, or take the one that is there, and switch to it.

    `check` examines an interpreter, probes and a two-step training run included, and returns every check; `prove`
    does the same for an environment that was installed a moment ago (by default that is `check` too).
    A failing error of kind LIBRARY refuses the new environment, unless its code is in `accepted_codes` (for what
    the plan has told already: the CPU profile on a machine whose GPU no profile serves). `report` gets one line a
    step and, every few seconds of the installation, the bytes written and the time left. With `wheelhouse` nothing
    is fetched: the wheels come from that folder. With `rebuild` one is built even where the same lock has one; with
    `with_kernel` it gets ipykernel besides.
    Raises FixError, and lets Ctrl-C pass; `current` is then as it was.
    """
    profile, python = plan.choice.profile, plan.choice.python
    if profile is None or python is None:
        facts = "; ".join(f"{name}: {fact}" for name, fact in plan.choice.rejected)
        raise FixError(f"No profile fits this machine. {facts}.", way_out(plan.choice))
    generations = Generations(home)
    with generations.locked():
        for name in generations.remove_incomplete():
            report(f"Removed `{name}`, which an interrupted build had left.")
        if not rebuild:
            ready = _reusable(generations, profile, check, report, accepted_codes, with_kernel)
            if ready is not None:
                return ready if ready.is_current else generations.switch(ready)
        if wheelhouse is not None:
            require_complete(profile, wheelhouse)
        demand_disk(home, plan.least_disk_bytes)
        earlier = _alike(generations, profile, python.minor)
        folder = generations.begin(profile.name, profile.lock_sha256)
        try:
            build = Build(
                plan=plan,
                profile=profile,
                python=python,
                folder=folder,
                home=home,
                report=report,
                installer=installer or find_installer(),
                wheelhouse=wheelhouse,
                with_kernel=with_kernel,
                earlier=earlier,
            )
            made = generations.complete(folder, build.make(prove or check, accepted_codes))
            switched = generations.switch(made)
            clear(home)
            return switched
        except BaseException as error:  # Ctrl-C too: nothing half-built stays, and nothing was switched
            if not _is_whole_and_current(generations, folder):
                report(f"Removing `{folder.name}`: it was not switched to.")
                generations.discard(folder)
            if isinstance(error, OSError):
                raise _full_or_broken(error, home) from error
            raise


def _is_whole_and_current(generations: Generations, folder: Path) -> bool:
    current = generations.current()
    return current is not None and current.folder == folder


def _alike(generations: Generations, profile: Profile, minor: str) -> List[Path]:
    """Those that have compiled the same files: the newest of the same lock, which has what earlier ones shared with it.

    Without one, the two newest.
    """
    same_python = [
        item for item in reversed(generations.list()) if item.python_version.startswith(minor + ".")
    ]
    same_lock = [item for item in same_python if item.lock_sha256 == profile.lock_sha256]
    return [item.folder for item in (same_lock[:1] or same_python[:2])]


def _reusable(
    generations: Generations,
    profile: Profile,
    check: Examine,
    report: Report,
    accepted_codes: Sequence[str],
    with_kernel: bool,
) -> Optional[Generation]:
    """The newest generation of the same lock that still passes; None where one must be built."""
    for generation in reversed(generations.list()):
        if generation.lock_sha256 != profile.lock_sha256:
            continue
        problem = base_problem(generation.folder, generation.python_version)
        if problem:
            report(f"{problem} Building another.")
            continue
        if with_kernel and not has_ipykernel(generation.folder):
            report(
                f"`{generation.name}` was built from the same lock and has no ipykernel. Building another."
            )
            continue
        report(f"`{generation.name}` was built from the same lock; checking that it still works.")
        errors = errors_of(check(str(generation.python)), accepted_codes)
        if not errors:
            return generation
        report(f"It does not: {errors[0].title}. Building another.")
    return None


def _full_or_broken(error: OSError, home: Path) -> FixError:
    return FixError(
        f"The build stopped: {error.strerror or error}. Nothing was switched.",
        f"Look at the disk of `{home}` (`df -h {home}`), then run it again.",
    )
