"""`envdoc lock`: your own packages on a proved profile, as a file that builds the same environment elsewhere."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

import typer

from envdoc.doctor.commands.output import announce, save, write
from envdoc.doctor.errors import EnvdocError, FixError
from envdoc.doctor.home import home
from envdoc.doctor.target import choose_target

if TYPE_CHECKING:
    from envdoc.doctor.facts.snapshot import Snapshot
    from envdoc.doctor.fix.choose import Choice
    from envdoc.doctor.fix.profiles import Profile
    from envdoc.doctor.fix.pythons import Python
    from envdoc.doctor.fix.user_lock import UserLock


def register(app: typer.Typer) -> None:
    """Add this module's command to the application."""
    app.command()(lock)


def lock(
    packages: Optional[List[str]] = typer.Argument(
        None,
        metavar="[PACKAGE ...]",
        help="What to add, as for pip; alone: what the lock here was made from.",
    ),
    requirements: List[str] = typer.Option(
        [],
        "-r",
        "--requirements",
        metavar="FILE",
        help="Add what a requirements file or a pyproject.toml names.",
    ),
    profile: Optional[str] = typer.Option(
        None,
        "--profile",
        metavar="NAME",
        help="Add to that profile, and not to the best one for this machine.",
    ),
    upgrade: bool = typer.Option(
        False, "--upgrade", "-U", help="Take newer releases of what is added; with PACKAGE of those only."
    ),
    python: Optional[str] = typer.Option(
        None, "--python", metavar="PATH", help="The Python to build with; its version bounds the profiles."
    ),
    output: Path = typer.Option(
        Path("envdoc.lock.txt"), "-o", "--output", metavar="FILE", help="Where the lock goes."
    ),
) -> None:
    """Add your own packages to a profile, build it, train in it, and keep what passed as envdoc.lock.txt."""
    from envdoc.doctor.commands.fix import ACCEPTED_WITHOUT_GPU, _examiner
    from envdoc.doctor.fix.profiles import load_profiles
    from envdoc.doctor.lock.additions import only_named, read_additions
    from envdoc.doctor.lock.document import pins_diff
    from envdoc.doctor.lock.make import Request, make_lock
    from envdoc.doctor.lock.proof import train

    project = output.absolute().parent
    if not project.is_dir():
        raise EnvdocError(f"There is no folder `{project}` for the lock.")
    before = _before(output, bool(packages or requirements) and not upgrade)
    named = [os.path.relpath(os.path.expanduser(file), str(project)) for file in requirements]  # noqa: PTH111
    arguments, files = (packages or []), named
    if before is not None and (upgrade or not (packages or requirements)):
        arguments, files = list(before.arguments), [*before.files, *named]
    elif upgrade and before is None and packages:
        announce(f"There is no lock at `{output}` yet: nothing is upgraded, what you name is added.")
    additions = read_additions(arguments, files, project, announce)
    held = {pin.name: pin.version for pin in before.pins} if before else {}
    named_for_upgrade = only_named(additions, packages or [], held) if upgrade and before else ()
    profiles = load_profiles()
    snapshot, pythons = _machine(python)
    choice = _base(snapshot, pythons, profiles, profile, before, upgrade and not named_for_upgrade)
    assert choice.profile is not None and choice.python is not None
    announce(f"The base is `{choice.profile.name}`: {choice.profile.title}.")
    if choice.gpu_unused:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    accepted = ACCEPTED_WITHOUT_GPU if choice.gpu_unused else ()
    unfit = {name for name, _ in choice.rejected}
    request = Request(
        choice.profile, choice.python, additions, before, list(named_for_upgrade) if upgrade else None
    )
    others = [item for item in profiles if item.name not in unfit]
    locked = make_lock(request, others, snapshot, home(), _examiner(accepted), train, announce)
    save(locked.text, output)
    write(pins_diff(before.pins if before else (), locked.pins, output.name) if before else "")
    announce(f"Proved: {locked.profile.probe}.")
    announce(
        f"{len(locked.pins)} pins, {len(locked.added)} of them not the profile's. `{locked.generation.name}` is in use."
    )
    announce(f"Keep `{output}` with your project: `envdoc fix --apply` there builds the same environment.")


def _before(output: Path, may_replace: bool) -> "Optional[UserLock]":
    """The lock that is there. One that cannot be read is replaced where the additions are told anew."""
    from envdoc.doctor.fix.user_lock import read_user_lock

    if not output.exists():
        return None
    try:
        return read_user_lock(output, home())
    except FixError as error:
        if not may_replace:
            raise FixError(
                error.message, "Name what to add (`envdoc lock PACKAGE ...`), and it is made anew."
            ) from error
        announce(f"warning: {error.message} It is made anew.")
        return None


def _machine(python: Optional[str]) -> "Tuple[Snapshot, Sequence[Python]]":
    from envdoc.doctor.examine import look
    from envdoc.doctor.fix.pythons import ask, available_pythons

    snapshot = look(choose_target(None, os.environ, home()), quick=True)
    if python is None:
        return snapshot, available_pythons()
    target = choose_target(python, os.environ, home())
    asked = ask(target.path)
    if asked is None:
        raise EnvdocError(f"`{target.path}` is no Python that answers.")
    return snapshot, (asked,)


def _base(
    snapshot: "Snapshot",
    pythons: "Sequence[Python]",
    profiles: "Sequence[Profile]",
    wanted: Optional[str],
    before: "Optional[UserLock]",
    anew: bool,
) -> "Choice":
    """The profile to add to: the one that was named; that of the lock that is there, unless all of it is upgraded or
    it no longer fits; or the best one for this machine."""
    from envdoc.doctor.fix.choose import choose, way_out
    from envdoc.doctor.fix.room import free_bytes

    free = free_bytes(home())
    if wanted is None and before is not None and not anew and before.base in [item.name for item in profiles]:
        same = choose(snapshot, pythons, profiles, free, before.base)
        best = choose(snapshot, pythons, profiles, free)
        if same.profile is not None and (not same.gpu_unused or best.gpu_unused):
            return same
        facts = [fact for name, fact in same.rejected if name == before.base]
        announce(f"`{before.base}` no longer fits this machine{': ' + facts[0] if facts else ''}.")
    choice = choose(snapshot, pythons, profiles, free, wanted)
    if choice.profile is None or choice.python is None:
        facts = [f"{name}: {fact}" for name, fact in choice.rejected]
        raise FixError(f"No profile fits this machine. {'; '.join(facts)}.", way_out(choice))
    return choice
