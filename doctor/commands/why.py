"""The command that names causes: why."""

import json
import sys
from pathlib import Path
from typing import Any, BinaryIO, List, Mapping, Optional, Sequence, Tuple

import typer

from envdoc.doctor.commands.output import announce, one_of, write
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.printable import printable

FACTS = typer.Option(
    None, "--facts", metavar="FILE", help="A snapshot, or what a thread tells, instead of this machine."
)


def register(app: typer.Typer) -> None:
    """Add this module's command to the application."""
    app.command()(why)


def why(
    log: str = typer.Argument(
        "-", metavar="[LOG|-]", help="A file with a log or traceback; - reads standard input."
    ),
    facts: Optional[Path] = FACTS,
    format: str = typer.Option("text", "--format", metavar="NAME", help="text or json."),
) -> None:
    """Name the causes of an error, best first, from its log."""
    from envdoc.doctor.commands.this_machine import here
    from envdoc.doctor.commands.why_plan import with_folder_checks, with_plan
    from envdoc.doctor.redact import redact, redact_value
    from envdoc.doctor.why import document, why_text

    mine: List[Mapping[str, Any]] = []

    def this_machine(
        folders: Sequence[str], told: Mapping[str, Any]
    ) -> Optional[Tuple[Mapping[str, Any], str]]:
        found = here(folders, told)
        mine.extend([found[0]] if found is not None else [])
        return found

    one_of("--format", format, ["text", "json"])
    told = None
    if facts is not None:
        try:
            told = json.loads(facts.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise EnvdocError(f"The facts in `{facts}` cannot be read: {error}.") from error
    with _log_file(log) as file:
        blocks = iter(lambda: file.read(1 << 20), b"")
        try:
            found = document(blocks, with_folder_checks(told), None if facts is not None else this_machine)
        except OSError as error:
            raise EnvdocError(f"The log `{log}` cannot be read: {error}.") from error
    if mine:
        found = with_plan(found, mine[0])
    text = (
        json.dumps(redact_value(found), indent=2, ensure_ascii=False) + "\n"
        if format == "json"
        else redact(why_text(found))
    )
    write(printable(text))


def _log_file(log: str) -> BinaryIO:
    """The log as a file of bytes; standard input for "-"."""
    if log == "-":
        if sys.stdin is None:
            raise EnvdocError("Standard input is closed.", "Name a file: `envdoc why LOG`.")
        if sys.stdin.isatty():
            announce("Paste the log, then press Ctrl-D.")
        return sys.stdin.buffer
    try:
        return Path(log).open("rb")
    except OSError as error:
        raise EnvdocError(
            f"The log `{log}` cannot be read: {error}.", "Or pipe it in: `... | envdoc why`."
        ) from error
