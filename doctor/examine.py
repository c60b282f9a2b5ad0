"""One examination, start to end: facts, probes, rules, and the report over them."""

import contextlib
import dataclasses
import datetime
import os
import re
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence, Tuple

from envdoc.doctor.errors import SnapshotError
from envdoc.doctor.facts.collect import collect
from envdoc.doctor.facts.snapshot import Interpreter, Snapshot, from_json
from envdoc.doctor.files import read_bytes
from envdoc.doctor.finding import Check, Fix, Status, Target
from envdoc.doctor.printable import one_line, several_lines
from envdoc.doctor.redact import redact, redact_command, without_secrets
from envdoc.doctor.report.model import Report, Row
from envdoc.doctor.rules.messages import own_words
from envdoc.doctor.rules.plugins import plugins
from envdoc.doctor.rules.registry import all_rules, judge, selected
from envdoc.doctor.rules.rented import ROWS
from envdoc.doctor.suppressions import Suppression, apply
from envdoc.doctor.version import envdoc_version

if TYPE_CHECKING:
    from envdoc.doctor.probes.runner import ProbeRun

_SNAPSHOT_LIMIT_BYTES = 1 << 28
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def look(
    target: Target,
    quick: bool = False,
    on_probe: Optional[Callable[[str], None]] = None,
    online: bool = False,
    deep: bool = False,
    model: Optional[str] = None,
    is_new: bool = False,
) -> Snapshot:
    """The snapshot of this machine and that target; unless `quick`, with the results of every probe in it.

    With `online`, and only then, the network is used: how the package index and the model hub deliver.
    With `deep` the contents of every installed file are compared with RECORD, and the probes that take longer run;
    with either of them a file is written to the working folder, to time its disk. `model` is a folder, a run file or
    a name on the hub; EnvdocError where it is none of them.
    `is_new`: the target was installed a moment ago, every file by its hash. Its files are then not compared again with
    RECORD, but for the libraries, and the probes are those that prove an environment.
    """
    wanted = read = None
    if model is not None:
        from envdoc.doctor.facts.model_files import (
            model_folder,
            wanted_model,
        )  # start-up time counts without them

        wanted = wanted_model(model, os.environ)
        folder = model_folder(model, os.environ)
        if folder is not None:
            from envdoc.doctor.facts.model_folder import read_model_folder

            read = read_model_folder(folder)
    tell = on_probe or (lambda name: None)
    with contextlib.ExitStack() as children:  # on Ctrl-C and on an error they end first
        runs: List[ProbeRun] = []

        def run_probes(interpreter: Optional[Interpreter] = None) -> None:
            from envdoc.doctor.probes.runner import (  # `--quick` never needs it
                DEFAULT_PROBES,
                ProbeRun,
                proof_probes,
            )

            if interpreter is None or not interpreter.error:
                names = proof_probes() if is_new else DEFAULT_PROBES
                run = ProbeRun(target.path, names, on_start=tell, is_new=is_new)
                runs.append(children.enter_context(contextlib.closing(run)))

        # The probes import while files are read here; but nothing else runs beside a measurement.
        early = not (quick or online or deep)
        if is_new and early:
            run_probes()  # it was made and installed into a moment ago: it starts, and what it is can wait
        facts = collect(
            target,
            quick=quick or is_new,
            deep=deep,
            on_interpreter=run_probes if early and not is_new else None,
        )
        snapshot = dataclasses.replace(facts, model=wanted, model_folder=read)
        if online or deep:
            from envdoc.doctor.facts.rented import measured

            tell("servers and disks, 16 s at most" if online else "disks")
            snapshot = measured(snapshot, target.path, os.environ, online)
        if not quick and not early:
            run_probes(snapshot.interpreter)
        if not runs:
            return snapshot
        probes = runs[0].results()
    if deep:
        from envdoc.doctor.probes.deep import run_deep

        probes += run_deep(target.path, probes, on_start=tell)
    return dataclasses.replace(snapshot, probes=probes)


# Most texts of a report stand in every report: the titles of what passed, the commands.
_redact = lru_cache(maxsize=8192)(redact)
_redact_command = lru_cache(maxsize=8192)(redact_command)
_without_secrets = lru_cache(maxsize=8192)(without_secrets)


def load_snapshot(path: Path) -> Snapshot:
    """The snapshot in that file. Raises SnapshotError where it cannot be read."""
    try:
        text = read_bytes(path, _SNAPSHOT_LIMIT_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotError(
            f"The snapshot `{path}` cannot be read: {error}.", "Make one with `envdoc facts -o FILE`."
        ) from error
    return from_json(text)


def examine(
    snapshot: Snapshot,
    target: Target,
    started: float,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    redacted: bool = True,
    verbose: bool = False,
    timings: bool = False,
    suppressions: Sequence[Suppression] = (),
) -> Report:
    """Judge the snapshot. `started` is the `time.perf_counter()` at which the examination began."""
    checks = judge(snapshot, selected(all_rules(), select, ignore))
    checks = apply(checks, suppressions, datetime.date.today())
    checks = redacted_checks(checks, redacted)
    clean = redact if redacted else without_secrets
    note = one_line(clean(target.note)) if target.note else None
    target = Target(one_line(clean(target.path)), one_line(clean(target.reason)), note)
    return Report(
        envdoc_version=envdoc_version(),
        rule_packages=plugins().packages,
        target=target,
        python_version=one_line(snapshot.interpreter.version),
        taken_at=snapshot.taken_at if _TIME.fullmatch(snapshot.taken_at) else "",
        checks=checks,
        seconds=time.perf_counter() - started,
        verbose=verbose,
        timings=timings,
        rented=tuple(Row(*row) for row in ROWS) if snapshot.network is not None else (),
    )


def redacted_checks(checks: Sequence[Check], names: bool = True) -> Tuple[Check, ...]:
    """Every check by `redacted_check`, but for those that only say why they judged nothing.

    Most of them do, each in words of its own. Where all these words together hold nothing to take out, none does: one
    look at the whole instead of a hundred.
    """
    told = [check for check in checks if check.status is Status.SKIPPED]
    whole = "\n".join(f"{check.title}\n{check.detail}" for check in told)
    clean = _redact if names else _without_secrets
    is_clean = several_lines(clean(whole)) == whole and not any(
        check.evidence or check.affects or check.fix.commands for check in told
    )
    return tuple(
        check if is_clean and check.status is Status.SKIPPED else redacted_check(check, names)
        for check in checks
    )


def redacted_check(check: Check, names: bool = True) -> Check:
    """The same check with secrets, and unless `names` is False personal names, taken out of every text in it.

    Commands that name the caller's own folders can still be pasted. What a terminal would obey is made visible, and
    a title, a command and a name stay one line each, whatever the machine calls its things.
    """
    clean, command = (_redact, _redact_command) if names else (_without_secrets, _without_secrets)
    if check.status is Status.OK and check.title in own_words() and not check.detail:
        return check
    title, detail = one_line(clean(check.title)), several_lines(clean(check.detail))
    if (title, detail) == (check.title, check.detail) and not (
        check.evidence or check.affects or check.fix.commands or check.suppressed
    ):
        return check  # nine of ten
    return dataclasses.replace(
        check,
        title=title,
        detail=detail,
        evidence=tuple(several_lines(clean(text)) for text in check.evidence),
        affects=tuple(one_line(clean(text)) for text in check.affects),
        fix=Fix(check.fix.safe, tuple(one_line(command(text)) for text in check.fix.commands)),
        suppressed=check.suppressed
        and dataclasses.replace(check.suppressed, reason=one_line(clean(check.suppressed.reason))),
    )
