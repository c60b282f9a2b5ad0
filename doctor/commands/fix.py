"""Commands that change envdoc's own folder: fix, rollback, generations, gc; and profiles, which only looks."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence

import typer

from envdoc.doctor.commands.check import PYTHON
from envdoc.doctor.commands.output import announce
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.finding import Check, Target
from envdoc.doctor.home import home
from envdoc.doctor.target import choose_target

if TYPE_CHECKING:
    from envdoc.doctor.facts.snapshot import Snapshot
    from envdoc.doctor.fix.choose import Choice
    from envdoc.doctor.fix.plan import Plan
    from envdoc.doctor.fix.profiles import Profile
    from envdoc.doctor.fix.user_lock import UserLock

# What a CPU environment on a GPU machine is told already in the plan: no profile serves that GPU.
ACCEPTED_WITHOUT_GPU = ("TOR", "GPU", "DRV", "BNB")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command()(fix)
    app.command()(rollback)
    app.command()(generations)
    app.command()(profiles)
    app.command()(gc)


def fix(
    apply: bool = typer.Option(False, "--apply", help="Do it; without this the plan is only shown."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    profile: Optional[str] = typer.Option(
        None, "--profile", metavar="NAME", help="That lockfile and no other."
    ),
    lock: Optional[Path] = typer.Option(
        None,
        "--lock",
        metavar="FILE",
        help="Your own lock (`envdoc lock`); by default ./envdoc.lock.txt, if there.",
    ),
    only: List[str] = typer.Option([], "--only", metavar="CODE", help="Only what these findings need."),
    wheelhouse: Optional[Path] = typer.Option(
        None, "--wheelhouse", metavar="DIR", help="Take every wheel from there; no network."
    ),
    model: Optional[Path] = typer.Option(
        None, "--model", metavar="DIR", help="Mend a model's folder instead: the files of an old conversion."
    ),
    script: List[Path] = typer.Option(
        [], "--script", metavar="FILE", help="Repair this training script or notebook instead."
    ),
    diff: bool = typer.Option(
        False, "--diff", help="With --model and --script: the changes as a diff and nothing else."
    ),
    undo: bool = typer.Option(False, "--undo", help="With --model: put the originals back."),
    python: Optional[str] = PYTHON,
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json, for the plan."),
) -> None:
    """Plan an environment that works on this machine; with --apply, build it, check it and switch to it."""
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.present import plan_text
    from envdoc.doctor.redact import redact, redact_value

    if format not in ("text", "json"):
        raise EnvdocError(f"`--format {format}` is none of text, json.")
    if model is not None and script:
        raise EnvdocError("`--model` and `--script` are two repairs.", "Give one of them at a time.")
    if model is not None:
        from envdoc.doctor.commands.model import mend_model

        raise typer.Exit(mend_model(model, diff, apply, yes, undo, format))
    if undo:
        raise EnvdocError("`--undo` is for a model's folder.", "Name it with `--model DIR`.")
    if diff and (apply or not script):
        raise EnvdocError(
            "`--diff` shows the repairs of a script or of a model's folder.",
            "Use `envdoc fix --script FILE --diff` or `envdoc fix --model DIR --diff`.",
        )
    if script:
        if profile is not None or lock is not None or wheelhouse is not None or format != "text":
            raise EnvdocError(
                "`--script` repairs a script; it takes `--diff`, `--apply`, `--only` and `--python`."
            )
        from envdoc.doctor.commands.fix_script import fix_scripts

        fix_scripts(script, python, apply, only)
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise EnvdocError(f"There is no folder of wheels at `{wheelhouse}`.")
    if lock is not None and profile is not None:
        raise EnvdocError("`--lock` and `--profile` name two environments.", "Give one of them.")
    plan = _plan(python, profile, only, lock)
    sys.stdout.write(
        json.dumps(redact_value(plan.to_json()), indent=2) + "\n"
        if format == "json"
        else redact(plan_text(plan))
    )
    sys.stdout.flush()
    if not apply:
        if plan.builds and format == "text" and plan.choice.profile is not None:
            announce("Nothing was changed. `envdoc fix --apply` does it.")
        raise typer.Exit(0 if not plan.builds or plan.choice.profile is not None else 1)
    if not plan.builds:
        raise typer.Exit(0)
    if plan.choice.profile is not None and not yes:
        _ask()
    from envdoc.doctor.fix.apply import apply as carry_out

    started = time.monotonic()
    accepted = ACCEPTED_WITHOUT_GPU if plan.choice.gpu_unused else ()
    if plan.choice.gpu_unused:  # torch's default wheel would try a GPU that it has no code for
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    before = Generations(home()).current()
    examined = choose_target(
        python, os.environ, home()
    )  # what it is once the link points elsewhere is another
    made = carry_out(plan, home(), _examiner(accepted), announce, wheelhouse=wheelhouse)
    _stand_in(made.name, Path(examined.path).parent.parent)
    announce(f"Switched to `{made.name}` ({made.packages} packages, {time.monotonic() - started:.0f} s).")
    announce("Use it: `envdoc check`, `envdoc train`, `envdoc run -- python ...`, `envdoc shell`.")
    undone = f"goes back to `{before.name}`" if before is not None else "takes it out of use"
    announce(f"Undo it: `envdoc rollback` {undone}.")


def rollback() -> None:
    """Go back to the generation that was in use before; from the first one, to none."""
    from envdoc.doctor.fix.generations import Generations

    now = Generations(home()).rollback()
    if now is None:
        print(
            "No generation is in use now; the last one is kept, and `envdoc fix --apply` takes it up again."
        )
    else:
        print(f"Back to `{now.name}`.")


def generations() -> None:
    """List the environments that `fix` has built."""
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.present import generations_text

    sys.stdout.write(generations_text(Generations(home()).list()))


def profiles() -> None:
    """List the lockfiles, and the one fact that keeps each from this machine."""
    from envdoc.doctor.examine import look
    from envdoc.doctor.fix.present import profiles_text
    from envdoc.doctor.fix.profiles import load_profiles

    every = load_profiles()
    lock = _user_lock(None)
    if lock is not None:
        every = (lock.profile, *every)
    snapshot = look(choose_target(None, os.environ, home()), quick=True)
    sys.stdout.write(profiles_text(every, _choice(snapshot, every)))


def gc(
    keep: int = typer.Option(2, "--keep", metavar="N", min=1, help="How many of those used last to keep."),
) -> None:
    """Remove generations that are no longer used, and what an interrupted build left."""
    from envdoc.doctor.fix.generations import Generations

    gone = Generations(home()).remove_unused(keep)
    for generation in gone:
        print(f"Removed `{generation.name}`.")
    if not gone:
        print("Nothing to remove.")


def _plan(
    python: Optional[str], wanted: Optional[str], only: Sequence[str], named_lock: Optional[Path] = None
) -> "Plan":
    from envdoc.doctor.examine import look, redacted_check
    from envdoc.doctor.fix.apply import find_installer, free_bytes
    from envdoc.doctor.fix.choose import require
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.plan import make_plan
    from envdoc.doctor.fix.profiles import load_profiles
    from envdoc.doctor.rules.registry import judge

    profiles = load_profiles()
    if wanted is not None:
        require(wanted, profiles)  # before a minute of probes
    lock = _user_lock(named_lock) if wanted is None else None
    if lock is not None:
        announce(f"Building what `{lock.path}` holds.")
        profiles, wanted = (lock.profile, *profiles), lock.profile.name
    target = choose_target(python, os.environ, home())
    announce(f"Examining {target.path}: {target.reason}.")
    snapshot = look(target)
    checks = [redacted_check(check) for check in judge(snapshot)]
    known = {check.code for check in checks}
    for code in only:
        if code not in known:
            raise EnvdocError(f"There is no rule `{code}`.", "`envdoc rules` lists them all.")
    free = free_bytes(home())
    choice = _choice(snapshot, profiles, wanted)
    if lock is not None:
        from envdoc.doctor.fix.user_lock import require_fit

        require_fit(lock, choice, lambda some: _choice(snapshot, some), automatic=named_lock is None)
    current = Generations(home()).current()
    installer = find_installer().name
    return make_plan(checks, choice, snapshot, current, installer, free, wanted, only)


def _user_lock(named: Optional[Path]) -> "Optional[UserLock]":
    """The lock that was named, or the one in this folder. Raises FixError where it is not as `envdoc lock` made it."""
    from envdoc.doctor.fix.user_lock import find_lock, read_user_lock

    path = find_lock(named, Path())
    return read_user_lock(path, home()) if path is not None else None


def _choice(snapshot: "Snapshot", profiles: Sequence["Profile"], wanted: Optional[str] = None) -> "Choice":
    from envdoc.doctor.fix.apply import free_bytes
    from envdoc.doctor.fix.choose import choose
    from envdoc.doctor.fix.pythons import available_pythons

    return choose(snapshot, available_pythons(), profiles, free_bytes(home()), wanted)


def _examiner(accepted: Sequence[str]) -> Callable[[str], Sequence[Check]]:
    """What `apply` calls on the new environment: facts, every probe, every rule."""
    from envdoc.doctor.examine import look
    from envdoc.doctor.rules.registry import judge

    def examine(python: str) -> Sequence[Check]:
        target = Target(python, "the new environment")
        checks = judge(look(target, on_probe=lambda name: announce(f"  running {name} ...")))
        return (
            [check for check in checks if not check.code.startswith(tuple(accepted))] if accepted else checks
        )

    return examine


def _stand_in(generation: str, examined: Path) -> None:
    """From now on `check` and `train` go to the generation, though the environment that was examined stays active."""
    from envdoc.doctor.replaced import remember_replaced

    own = (home() / "envs").resolve() in examined.resolve().parents
    if own or not ((examined / "pyvenv.cfg").is_file() or (examined / "conda-meta").is_dir()):
        return
    try:
        remember_replaced(home(), generation, str(examined))
    except OSError as error:
        announce(f"warning: `{home() / 'replaced.json'}` could not be written: {error.strerror or error}.")


def _ask() -> None:
    if not sys.stdin.isatty():
        raise EnvdocError("Nobody is there to be asked.", "Add --yes to go ahead without a question.")
    if not typer.confirm("Build it?", default=True, err=True):
        raise typer.Abort()
