"""Commands that hand off to the pipeline in the target environment: train and verify."""

from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from envdoc.doctor.commands.check import PYTHON
from envdoc.doctor.commands.in_place import use_settings
from envdoc.doctor.commands.output import announce
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.finding import Target

if TYPE_CHECKING:
    from envdoc.doctor.facts.snapshot import Snapshot


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command()(train)
    app.command()(verify)


def train(
    run: Optional[List[str]] = typer.Argument(
        None, metavar="[RUN.yaml] [key=value ...]", help="A run file, and keys that replace its values."
    ),
    python: Optional[str] = PYTHON,
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Build everything, say what would run, train nothing."
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on from the newest whole checkpoint."),
    skip_checks: bool = typer.Option(False, "--skip-checks", help="Train although `check` finds errors."),
    yes: bool = typer.Option(
        False, "--yes", "-y", help="Where the environment cannot train, take or build one that can, unasked."
    ),
    nproc: str = typer.Option("1", "--nproc", metavar="N|auto", help="Processes here; auto: one a GPU."),
    nnodes: int = typer.Option(1, "--nnodes", metavar="M", help="Machines that train together."),
    node_rank: int = typer.Option(0, "--node-rank", metavar="R", help="Which of them this is, from 0."),
    master_addr: Optional[str] = typer.Option(
        None, "--master-addr", metavar="HOST", help="Node 0, as the others reach it."
    ),
    master_port: int = typer.Option(29400, "--master-port", metavar="PORT", help="A free port of node 0."),
    restarts: int = typer.Option(3, "--restarts", metavar="N", help="New attempts after a process was lost."),
) -> None:
    """Train a LoRA adapter and prove that it is real. Alone: ./envdoc.yaml, or else a built-in example."""
    config, overrides = run_file(run or [])
    use_settings()
    from envdoc.doctor.commands.preflight import fit_environment

    fit = fit_environment(python, skip_checks, yes)
    target, snapshot = fit.target, fit.snapshot
    arguments = ["train"]
    arguments += ["--config", config] if config else []
    arguments += ["--dry-run"] if dry_run else []
    arguments += ["--resume"] if resume else []
    if nproc != "1" or nnodes != 1:
        arguments += ["--nproc", nproc, "--nnodes", str(nnodes), "--node-rank", str(node_rank)]
        arguments += ["--master-port", str(master_port), "--restarts", str(restarts)]
        arguments += ["--master-addr", master_addr] if master_addr else []
    from envdoc.doctor.handoff import context, launch

    told = context(snapshot)
    raise typer.Exit(launch(target.path, arguments + overrides, told, without_gpu(snapshot)))


def verify(
    adapter: Path = typer.Argument(
        ..., metavar="ADAPTER", help="The folder of an adapter, whoever wrote it, or of a run."
    ),
    other: Optional[Path] = typer.Argument(
        None, metavar="[OTHER]", help="A second one: say what differs, by layer."
    ),
    base: Optional[Path] = typer.Option(
        None, "--base", metavar="FOLDER", help="Its base model, if that has moved."
    ),
    rescue: Optional[Path] = typer.Option(
        None, "--rescue", metavar="OUT", help="Write a new folder with the names that peft loads."
    ),
    static: bool = typer.Option(False, "--static", help="Read files only; load no base model."),
    python: Optional[str] = PYTHON,
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json."),
) -> None:
    """Say whether an adapter is real: its tensors, names and numbers, and what it does to its base model."""
    from envdoc.doctor.commands.adapter import verify as judge

    raise typer.Exit(judge(adapter, other, base, rescue, static, python, format))


def run_file(words: List[str]) -> "tuple[Optional[str], List[str]]":
    """The run file (the one word without `=`) and the overrides. Raises EnvdocError on two files or none there."""
    files = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word]
    if len(files) > 1:
        raise EnvdocError(
            f"Two run files were given: `{files[0]}` and `{files[1]}`.",
            "Give one; single values are replaced by `key=value`.",
        )
    if files and not Path(files[0]).is_file():
        raise EnvdocError(
            f"There is no run file `{files[0]}`.",
            "`envdoc train` alone uses ./envdoc.yaml, or else a built-in example.",
        )
    return (files[0] if files else None), overrides


def without_gpu(snapshot: "Snapshot") -> bool:
    """True where the GPU of this machine must be hidden from an environment that was built without code for it."""
    from envdoc.doctor.handoff import is_for_cpu

    hidden = bool(snapshot.gpus) and is_for_cpu(snapshot.interpreter.prefix)
    if hidden:
        announce(
            "This environment was built for the CPU, since no profile serves the GPU here: the GPU is hidden."
        )
    return hidden


def _require_libraries(target: Target) -> "Snapshot":
    """The target's snapshot. Raises EnvdocError where it does not run, or lacks what nothing trains without."""
    from envdoc.doctor.commands.preflight import lacks, missing_libraries
    from envdoc.doctor.facts.collect import collect

    snapshot = collect(target, quick=True)
    missing = missing_libraries(snapshot)
    if missing:
        raise EnvdocError(
            lacks(target, missing),
            "Build an environment with `envdoc fix --apply`, or name one with `--python PATH`.",
        )
    return snapshot
