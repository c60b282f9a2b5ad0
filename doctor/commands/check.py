"""Commands that look at a machine: check, facts, diff, report."""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Tuple

import typer

from envdoc.doctor.commands.output import announce, one_of, save, tell_broken_plugins, write
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.self_description import ask_ahead
from envdoc.doctor.finding import Target
from envdoc.doctor.home import home
from envdoc.doctor.printable import printable
from envdoc.doctor.report import FORMATS, renderer
from envdoc.doctor.target import choose_target

if TYPE_CHECKING:
    from envdoc.doctor.facts.snapshot import Lock, Script, Snapshot
    from envdoc.doctor.suppressions import Suppression

PYTHON = typer.Option(None, "--python", metavar="PATH", help="The interpreter or environment to examine.")
ONLINE = typer.Option(False, "--online", help="Measure the package index, the model hub and git as well.")
MODEL = typer.Option(
    None, "--model", metavar="NAME|DIR|RUN.yaml", help="The model to be trained: is there room for it here?"
)
FACTS = typer.Option(None, "--facts", metavar="FILE", help="Judge a snapshot instead of this machine.")


SCRIPT = typer.Option(
    [], "--script", metavar="FILE", help="Examine this training script or notebook too, without running it."
)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command()(check)
    app.command()(facts)
    app.command()(diff)
    app.command()(report)


def check(
    python: Optional[str] = PYTHON,
    quick: bool = typer.Option(False, "--quick", help="Read files only; run nothing in the target."),
    deep: bool = typer.Option(False, "--deep", help="Hash every file and measure the GPUs too; minutes."),
    online: bool = ONLINE,
    model: Optional[str] = MODEL,
    facts: Optional[Path] = FACTS,
    script: List[Path] = SCRIPT,
    lock: Optional[Path] = typer.Option(
        None, "--lock", metavar="FILE", help="Compare with a requirements file or pylock.toml."
    ),
    format: str = typer.Option(
        "text", "--format", metavar="NAME", help="One of: " + ", ".join(FORMATS) + "."
    ),
    output: Optional[Path] = typer.Option(None, "-o", "--output", metavar="FILE", help="Write it there."),
    select: List[str] = typer.Option(
        [], "--select", metavar="PREFIX", help="Only codes that start so, or a group."
    ),
    ignore: List[str] = typer.Option(
        [], "--ignore", metavar="PREFIX", help="No codes that start so, nor a group."
    ),
    fail_on: str = typer.Option("error", "--fail-on", metavar="LEVEL", help="error, warning or never."),
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Passing and skipped checks as well."),
    timings: bool = typer.Option(False, "--timings", help="The ten slowest checks."),
    no_redact: bool = typer.Option(False, "--no-redact", help="Leave names and paths; secrets still go."),
) -> None:
    """Say what is wrong on this machine, why, and what to do."""
    started = time.perf_counter()
    one_of("--format", format, list(FORMATS))
    one_of("--fail-on", fail_on, ["error", "warning", "never"])
    if quick and deep:
        raise EnvdocError("`--quick` and `--deep` exclude each other.", "Leave both out for the usual check.")
    target = None if facts is not None else choose_target(python, os.environ, home())
    if target is not None:
        ask_ahead(target.path)  # it answers while the rest is imported
    from envdoc.doctor.examine import examine, load_snapshot, look
    from envdoc.doctor.report.text import render_for_file as text_for_file
    from envdoc.doctor.suppressions import unused

    select, ignore = code_prefixes(select), code_prefixes(ignore)
    accepted = _accepted()
    locked = _locked(lock)
    scripts = _scripts(script)
    if facts is not None:
        if deep:
            raise EnvdocError("`--deep` reads this machine's files, and `--facts` judges a recorded one.")
        if online:
            raise EnvdocError("`--online` measures this machine, and `--facts` judges a recorded one.")
        if model is not None:
            raise EnvdocError("`--model` asks about this machine, and `--facts` judges a recorded one.")
        snapshot = load_snapshot(facts)
        target = Target(snapshot.interpreter.path, f"as recorded in {facts}")
    else:
        assert target is not None
        on_probe = (lambda name: announce(f"running {name} ...")) if sys.stderr.isatty() else None
        snapshot = look(target, quick, on_probe, online, deep, model)
        _keep(snapshot)
    snapshot = dataclasses.replace(snapshot, lock=locked)
    if scripts is not None:
        snapshot = dataclasses.replace(snapshot, script=scripts)
    result = examine(snapshot, target, started, select, ignore, not no_redact, verbose, timings, accepted)
    if output is None:
        write(renderer(format)(result))
    else:
        save(text_for_file(result) if format == "text" else renderer(format)(result), output)
    tell_broken_plugins()
    for one in unused(result.checks, accepted):
        announce(f"note: {one.source} suppresses {one.code}, which finds nothing here: remove the entry.")
    raise typer.Exit(result.exit_code(fail_on))


def facts(
    python: Optional[str] = PYTHON,
    output: Optional[Path] = typer.Option(None, "-o", "--output", metavar="FILE", help="Write it there."),
    probes: bool = typer.Option(False, "--probes", help="Run the probes too, and keep what they saw."),
    deep: bool = typer.Option(False, "--deep", help="All that `check --deep` looks at; implies --probes."),
    online: bool = ONLINE,
    model: Optional[str] = MODEL,
    no_redact: bool = typer.Option(False, "--no-redact", help="Leave names and paths; secrets still go."),
) -> None:
    """Print the snapshot of this machine as JSON; `check --facts` judges it anywhere."""
    from envdoc.doctor.examine import look
    from envdoc.doctor.facts.snapshot import from_json
    from envdoc.doctor.redact import redact_value, without_secret_values

    target = choose_target(python, os.environ, home())
    snapshot = look(target, quick=not (probes or deep), online=online, deep=deep, model=model)
    clean = without_secret_values if no_redact else redact_value
    text = printable(from_json(json.dumps(clean(json.loads(snapshot.to_json())))).to_json())
    if output is None:
        write(text)
    else:
        save(text, output)


def diff(
    old: Path,
    new: Path,
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json."),
) -> None:
    """Say how two snapshots differ and what that means: this machine and the one where it worked."""
    from envdoc.doctor.comparison import as_json, as_text, compare
    from envdoc.doctor.examine import load_snapshot

    one_of("--format", format, ["text", "json"])
    found = compare(load_snapshot(old), load_snapshot(new))
    told = (
        as_text(found)
        if format == "text"
        else json.dumps(as_json(found), indent=2, ensure_ascii=False) + "\n"
    )
    write(printable(told))
    raise typer.Exit(1 if found.differences else 0)


def report(python: Optional[str] = PYTHON) -> None:
    """Print a redacted block to paste into an issue."""
    from envdoc.doctor.examine import examine, look

    started = time.perf_counter()
    target = choose_target(python, os.environ, home())
    accepted = _accepted()
    result = examine(look(target), target, started, suppressions=accepted)
    write(renderer("markdown")(result))


def _keep(snapshot: "Snapshot") -> None:
    """What the probes saw and how fast the index was, for the plan of `envdoc fix`."""
    from envdoc.doctor.last_check import remember

    remember(snapshot, home())
    index = snapshot.network.server("index") if snapshot.network is not None else None
    if index is not None and index.bytes_per_second and index.measured_bytes:
        from envdoc.doctor.fix import rate

        seconds = index.measured_bytes / index.bytes_per_second
        rate.remember(home(), index.measured_bytes, seconds, "`envdoc check --online`")


def _accepted() -> "Tuple[Suppression, ...]":
    """What the project in the working directory suppresses."""
    from envdoc.doctor.rules.registry import all_rules
    from envdoc.doctor.suppressions import load

    return load(Path(), {rule.code for rule in all_rules()})


def _locked(path: Optional[Path]) -> "Optional[Lock]":
    from envdoc.doctor.facts.lockfile import read_lock

    return read_lock(path) if path is not None else None


def _scripts(paths: List[Path]) -> "Optional[Script]":
    if not paths:
        return None
    from envdoc.doctor.script.look import look_at

    return look_at(paths)


def code_prefixes(words: List[str]) -> List[str]:
    """`--select DRV,torch --select PKG01` as a list of prefixes; a group's name stands for all of its codes.

    Raises EnvdocError on a word that no rule has.
    """
    from envdoc.doctor.report.model import group
    from envdoc.doctor.rules.registry import all_rules

    codes = [rule.code for rule in all_rules()]
    prefixes: List[str] = []
    for word in (part.strip() for given in words for part in given.split(",")):
        of_group = {code[:3] for code in codes if group(code).lower() == word.lower()}
        found = sorted(of_group) or [word.upper()]
        if word and not any(code.startswith(tuple(found)) for code in codes):
            raise EnvdocError(
                f"No rule has a code that starts with `{word.upper()}`, and no group that name.",
                "`envdoc rules` lists them all.",
            )
        prefixes += found if word else []
    return prefixes
