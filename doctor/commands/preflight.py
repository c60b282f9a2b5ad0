"""Before a run: is the environment fit to train, and if not, which one is, or may one be built?

Every rule is judged over the files of the target, and only an error stops the run. The examination takes a third of a
second of CPU (docs/seed.md). Where nobody named an environment, another is offered: the generation that `envdoc fix`
switched to, or else a new one, which `fix` then plans, shows and asks about itself. Without a terminal nobody can be
asked: `--yes` agrees beforehand.
"""

import dataclasses
import os
import sys
import time
from typing import Optional, Tuple

import typer

from envdoc.doctor.commands.output import announce
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Check, Severity, Status, Target
from envdoc.doctor.home import current_python, home
from envdoc.doctor.target import choose_target

NEEDED = ("torch", "transformers", "peft")
GENERATION = "the current generation of `envdoc fix`"


@dataclasses.dataclass(frozen=True)
class Looked:
    """One environment, and what would make training in it fail or go wrong."""

    target: Target
    snapshot: Snapshot
    missing: Tuple[str, ...]  # what nothing trains without
    errors: Tuple[Check, ...]  # redacted, ready to be told
    judged: int  # how many checks there were
    seconds: float

    @property
    def is_fit(self) -> bool:
        """True where nothing speaks against it."""
        return not self.missing and not self.errors


def fit_environment(python: Optional[str], skip_checks: bool, yes: bool) -> Looked:
    """The environment that will train: the target, or another that somebody agreed to.

    Raises EnvdocError (exit code 2) where there is none and nobody can be asked, typer.Exit(1) where errors stand in
    the way, typer.Abort where the answer was no.
    """
    looked = look_at(choose_target(python, os.environ, home()))
    tell(looked)
    if looked.is_fit or (skip_checks and not looked.missing):
        return looked
    if python is not None:  # somebody chose it: nothing else is put in its place
        raise refusal(looked, "Mend it with `envdoc fix --apply`, or name another with `--python PATH`.")
    generation = _other_generation(looked.target)
    if generation is not None:
        return _take(generation, looked, yes)
    if not yes and not sys.stdin.isatty():
        raise refusal(
            looked,
            "Build an environment with `envdoc fix --apply`, let `envdoc train --yes` build it, or name one with "
            "`--python PATH`."
            if looked.missing  # errors may be of the machine, which no other environment mends: a full disk
            else "`envdoc fix` tells what would mend that; `envdoc train --yes` builds an environment where one would.",
        )
    announce("No environment here can train. What `envdoc fix --apply` would do:")
    build(yes)
    looked = look_at(choose_target(None, os.environ, home()))
    tell(looked)
    if not looked.is_fit:
        raise refusal(looked, "`envdoc check` tells more.")
    return looked


def look_at(target: Target) -> Looked:
    """Judge one environment by its files. Raises EnvdocError where its interpreter does not start."""
    from envdoc.doctor.examine import look, redacted_checks
    from envdoc.doctor.rules.registry import judge

    started = time.perf_counter()
    snapshot = look(target, quick=True)
    missing = missing_libraries(snapshot)
    checks = judge(snapshot)
    fatal = [check for check in checks if check.status is Status.FAIL and check.severity is Severity.ERROR]
    return Looked(
        target=target,
        snapshot=snapshot,
        missing=missing,
        errors=redacted_checks(fatal),
        judged=len(checks),
        seconds=time.perf_counter() - started,
    )


def missing_libraries(snapshot: Snapshot) -> Tuple[str, ...]:
    """What the target lacks of what nothing trains without. Raises EnvdocError where its interpreter does not start."""
    if snapshot.interpreter.error:
        raise EnvdocError(snapshot.interpreter.error, "Name another with `--python PATH`.")
    return tuple(name for name in NEEDED if snapshot.package(name) is None)


def tell(looked: Looked) -> None:
    """Which environment it is, and every error of it; a missing library is told by the refusal."""
    if looked.missing:
        return
    version = looked.snapshot.interpreter.version
    announce(
        f"Training with {looked.target.path} (Python {version}), {looked.target.reason}; "
        f"{looked.judged} checks in {looked.seconds:.2f} s."
    )
    for check in looked.errors:
        announce(f"error: {check.code} {check.title}")
        for command in check.fix.commands:
            announce(f"       -> {command}")


def refusal(looked: Looked, hint: str) -> Exception:
    """Why nothing is started: what is to be raised."""
    if looked.missing:
        return EnvdocError(lacks(looked.target, looked.missing), hint)
    announce("error: Nothing was started, since training would fail or be wrong.")
    announce(f"hint: {hint} `--skip-checks` goes on all the same.")
    return typer.Exit(1)


def lacks(target: Target, missing: Tuple[str, ...]) -> str:
    """That nothing can be trained with that target."""
    return f"{target.path} ({target.reason}) has no {', '.join(missing)}, so nothing can be trained with it."


def build(yes: bool) -> None:
    """What `envdoc fix --apply` does: the plan, a question unless `yes`, the environment. Raises typer.Abort on no."""
    from envdoc.doctor.commands.fix import fix

    try:
        fix(
            apply=True,
            yes=yes,
            profile=None,
            lock=None,
            only=[],
            wheelhouse=None,
            model=None,
            script=[],
            diff=False,
            undo=False,
            rebuild=False,
            kernel=None,
            probes=False,
            python=None,
            format="text",
        )
    except typer.Exit as done:
        if done.exit_code:
            raise


def _other_generation(target: Target) -> Optional[Looked]:
    """The current generation, where it is another environment than the target and fit to train."""
    python = current_python(home())
    if python is None or target.reason == GENERATION:
        return None
    try:
        looked = look_at(Target(str(python), GENERATION))
    except EnvdocError:  # its interpreter does not start any more
        return None
    return looked if looked.is_fit else None


def _take(generation: Looked, unfit: Looked, yes: bool) -> Looked:
    """The generation in place of the environment that is active, where somebody agrees."""
    name = (home() / "current").resolve().name
    can = f"The current generation, `{name}`, can train: {generation.judged} checks found no error in it."
    if not yes and not sys.stdin.isatty():
        raise refusal(unfit, f"{can} Take it by `--yes`, or by `--python {generation.target.path}`.")
    if unfit.missing:
        announce(f"note: {lacks(unfit.target, unfit.missing)}")
    announce(can)
    if not yes and not typer.confirm("Train with it?", default=True, err=True):
        raise typer.Abort()
    tell(generation)
    return generation
