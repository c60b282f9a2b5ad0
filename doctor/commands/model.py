"""`envdoc fix --model DIR`: the plan for a model's folder; with --apply, carried out, originals kept."""

import json
import sys
from pathlib import Path

import typer

from envdoc.doctor.commands.output import announce, write
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.printable import printable


def mend_model(folder: Path, diff: bool, apply: bool, yes: bool, undo: bool, form: str) -> int:
    """The exit code, 0: the plan is shown, carried out or undone. Raises EnvdocError where envdoc is not sure."""
    from envdoc.doctor.model_repair.apply import apply as carry_out
    from envdoc.doctor.model_repair.apply import undo as put_back
    from envdoc.doctor.model_repair.plan import make_plan

    if undo:
        if apply:
            raise EnvdocError("`--undo` and `--apply` exclude each other.")
        names = put_back(folder)
        announce(f"Put back {', '.join(names)}." if names else f"No original was kept in `{folder}`.")
        return 0
    plan = make_plan(folder)
    if form == "json":
        write(printable(json.dumps(plan.to_json(), indent=2, ensure_ascii=False)) + "\n")
    elif not plan.changes:
        write(f"Nothing in `{folder}` is to be mended.\n")
    else:
        changed = "".join(change.diff() for change in plan.changes)
        write(printable(changed if diff else plan.text()))
    if not plan.changes:
        return 0
    if not apply:
        announce("Nothing was changed. Add `--apply` to change it; each original is kept beside its file.")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise EnvdocError("Nobody is there to be asked.", "Add --yes to go ahead without a question.")
        if not typer.confirm("Change these files?", default=False, err=True):
            raise typer.Abort()
    kept = carry_out(plan)
    announce(f"Changed {len(plan.changes)} files. The originals: {', '.join(path.name for path in kept)}.")
    announce(f"Undo it: `envdoc fix --model {folder} --undo`.")
    return 0
