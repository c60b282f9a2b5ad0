"""The command fix: the plan and, with --apply, the environment that it describes."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence

import typer

from envdoc.doctor.commands.check import PYTHON, code_prefixes
from envdoc.doctor.commands.output import announce
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.finding import Check, Target
from envdoc.doctor.home import home

# What a CPU environment on a GPU machine is told already in the plan: no profile serves that GPU.
ACCEPTED_WITHOUT_GPU = ("TOR", "GPU", "DRV", "BNB")


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command()(fix)


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
    only: List[str] = typer.Option(
        [], "--only", metavar="CODE", help="Only findings whose code starts so, or a group."
    ),
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
        False,
        "--diff",
        help="What changes and nothing else: packages and settings; with --model and --script, lines.",
    ),
    undo: bool = typer.Option(
        False, "--undo", help="Take the last settings in place back; with --model, put the originals back."
    ),
    rebuild: bool = typer.Option(
        False, "--rebuild", help="Build a new generation even where the same lock has one that works."
    ),
    kernel: Optional[bool] = typer.Option(
        None,
        "--kernel/--no-kernel",
        help="Register the generation in use as a Jupyter kernel, or remove that.",
    ),
    probes: bool = typer.Option(False, "--probes", help="Run the probes for the plan too; half a minute."),
    python: Optional[str] = PYTHON,
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json, for the plan."),
) -> None:
    """Plan an environment that works on this machine; with --apply, build it, check it and switch to it."""
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.present import diff_text, plan_text
    from envdoc.doctor.fix.room import demand
    from envdoc.doctor.redact import redact, redact_value

    if format not in ("text", "json"):
        raise EnvdocError(f"`--format {format}` is none of text, json.")
    if model is not None and script:
        raise EnvdocError("`--model` and `--script` are two repairs.", "Give one of them at a time.")
    if model is not None:
        from envdoc.doctor.commands.model import mend_model

        raise typer.Exit(mend_model(model, diff, apply, yes, undo, format))
    if diff and apply and script:
        raise EnvdocError("`--diff` shows the repairs of a script, and `--apply` makes them.", "Give one.")
    if undo and (script or apply):
        raise EnvdocError("`--undo` takes back what `fix` settled; it goes with `--model` or alone.")
    if undo:
        from envdoc.doctor.commands.in_place import undo_settings

        undo_settings()
        raise typer.Exit(0)
    if script:
        if profile is not None or lock is not None or wheelhouse is not None or format != "text":
            raise EnvdocError(
                "`--script` repairs a script; it takes `--diff`, `--apply`, `--only` and `--python`."
            )
        from envdoc.doctor.commands.fix_script import fix_scripts

        fix_scripts(script, python, apply, only)
    if kernel is False:
        from envdoc.doctor.commands.kernel import remove_kernel

        raise typer.Exit(remove_kernel(home(), apply, announce))
    if kernel:
        from envdoc.doctor.fix.kernel import demand_own

        demand_own(home())  # before anything is looked at
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise EnvdocError(f"There is no folder of wheels at `{wheelhouse}`.")
    if lock is not None and profile is not None:
        raise EnvdocError("`--lock` and `--profile` name two environments.", "Give one of them.")
    from envdoc.doctor.commands.fix_plan import plan_for
    from envdoc.doctor.commands.in_place import settle_plan, use_settings

    prefixes = code_prefixes(only)
    use_settings()
    planned = plan_for(
        python, profile, prefixes, apply, probes, diff, wheelhouse, lock, rebuild, bool(kernel)
    )
    plan = planned.plan
    sys.stdout.write(
        json.dumps(redact_value(plan.to_json()), indent=2) + "\n"
        if format == "json"
        else redact((diff_text if diff else plan_text)(plan))
    )
    if kernel and format == "text":
        from envdoc.doctor.commands.kernel import kernel_lines

        sys.stdout.write(redact(kernel_lines(home())))
    sys.stdout.flush()
    if plan.builds and not plan.reuses and wheelhouse is None:
        demand(plan.rooms, plan.installer)
    possible = plan.builds and plan.choice.profile is not None
    if not apply:
        if format == "text" and not diff and (possible or plan.steps or kernel):
            announce("Nothing was changed. `envdoc fix --apply` does it.")
        raise typer.Exit(0 if not plan.builds or possible else 1)
    if not plan.builds and not plan.steps and not kernel:
        raise typer.Exit(0)
    if (possible or plan.steps or kernel) and not yes:
        _ask("Build it?" if possible else "Do it?")
    settled = settle_plan(planned) if plan.steps else True
    if not plan.builds:
        if kernel:
            from envdoc.doctor.commands.kernel import add_kernel

            add_kernel(home(), announce)
        raise typer.Exit(0 if settled else 1)
    from envdoc.doctor.fix.apply import apply as carry_out

    started = time.monotonic()
    accepted = ACCEPTED_WITHOUT_GPU if plan.choice.gpu_unused else ()
    if plan.choice.gpu_unused:  # torch's default wheel would try a GPU that it has no code for
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    before = Generations(home()).current()
    made = carry_out(
        plan,
        home(),
        _examiner(accepted),
        announce,
        wheelhouse=wheelhouse,
        prove=_examiner(accepted, is_new=True),
        rebuild=rebuild,
        with_kernel=_wants_kernel(bool(kernel)),
    )
    _stand_in(made.name, Path(planned.target.path).parent.parent)
    announce(f"Switched to `{made.name}` ({made.packages} packages, {time.monotonic() - started:.0f} s).")
    if kernel:
        from envdoc.doctor.commands.kernel import add_kernel

        add_kernel(home(), announce)
    announce("Use it: `envdoc check`, `envdoc train`, `envdoc run -- python ...`, `envdoc shell`.")
    undone = f"goes back to `{before.name}`" if before is not None else "takes it out of use"
    announce(f"Undo it: `envdoc rollback` {undone}.")


def _wants_kernel(asked: bool) -> bool:
    """Whether the new generation needs ipykernel: the kernel that is registered follows every switch."""
    from envdoc.doctor.fix.kernel import is_registered

    return asked or is_registered(home())


def _examiner(accepted: Sequence[str], is_new: bool = False) -> Callable[[str], Sequence[Check]]:
    """What `apply` calls on an environment: facts, probes, every rule; on a new one as `look` says."""
    from envdoc.doctor.examine import look
    from envdoc.doctor.rules.registry import judge

    def examine(python: str) -> Sequence[Check]:
        target = Target(python, "the new environment")
        checks = judge(look(target, on_probe=lambda name: announce(f"  running {name} ..."), is_new=is_new))
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


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise EnvdocError("Nobody is there to be asked.", "Add --yes to go ahead without a question.")
    if not typer.confirm(question, default=True, err=True):
        raise typer.Abort()
