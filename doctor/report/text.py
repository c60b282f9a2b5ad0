"""The report for people: quiet when all is well, worst first, one summary line."""

import os
import shutil
import sys
from typing import Dict, Iterator, List, NamedTuple, Tuple

from envdoc.doctor.finding import Check, Severity, Status
from envdoc.doctor.report import rented
from envdoc.doctor.report.model import Report, acceptance, group, plural

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
SYMBOLS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.INFO: "•"}
ASCII_SYMBOLS = {Severity.ERROR: "[error]", Severity.WARNING: "[warn]", Severity.INFO: "[info]"}
MAX_WIDTH_COLUMNS = 110


class Line(NamedTuple):
    """A paragraph of the report: its parts, each with a style of rich's, and how far it is indented."""

    parts: Tuple[Tuple[str, str], ...] = ()
    indent_columns: int = 0
    is_pasted: bool = False  # the terminal breaks it where it must, not we


def render(report: Report) -> str:
    """The report as text, with colour and symbols only where standard output can carry them."""
    lines = _lines(report, _carries_symbols())
    terminal = sys.stdout is not None and sys.stdout.isatty()
    if terminal or os.environ.get("FORCE_COLOR"):
        return _for_terminal(lines, terminal)
    return _plain(lines)


def render_for_file(report: Report) -> str:
    """The same for a UTF-8 file: symbols, no colour, no broken line."""
    return _plain(_lines(report, True))


def _plain(lines: Iterator[Line]) -> str:
    """For programs and files: no line is broken. rich is not imported, which takes a tenth of a quick check."""
    written = []
    for line in lines:
        text = "".join(part for part, _ in line.parts)
        margin = " " * line.indent_columns
        written += [f"{margin}{row}".rstrip() for row in text.split("\n")]
    return "".join(f"{row}\n" for row in written)


def _for_terminal(lines: Iterator[Line], terminal: bool) -> str:
    """Lines broken to the terminal's width, in colour unless it wants none."""
    import io

    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    plain = not terminal or os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))
    width = shutil.get_terminal_size((MAX_WIDTH_COLUMNS, 24)).columns
    output = io.StringIO()
    console = Console(
        file=output,
        width=min(max(width, 40), MAX_WIDTH_COLUMNS) if terminal else 10_000,
        force_terminal=not plain or bool(os.environ.get("FORCE_COLOR")),
        no_color=bool(os.environ.get("NO_COLOR")),
        highlight=False,
        force_jupyter=False,  # in a notebook rich would display the lines and write none
    )
    for line in lines:
        text = Text.assemble(*line.parts)
        if line.is_pasted:
            console.print(Text(" " * line.indent_columns) + text, soft_wrap=True)
        elif line.indent_columns:
            console.print(Padding(text, (0, 0, 0, line.indent_columns), expand=False))
        else:
            console.print(text)
    return output.getvalue()


def _carries_symbols() -> bool:
    try:
        "✗•☠→✓".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _line(text: str, style: str = "") -> Line:
    return Line(((text, style),))


def _indented(text: str, style: str = "") -> Line:
    return Line(((text, style),), 4)


def _lines(report: Report, unicode: bool) -> Iterator[Line]:
    where = f"Examined {report.target.path}"
    if report.python_version:
        where += f" (Python {report.python_version})"
    yield _line(f"{where}: {report.target.reason}.")
    if report.target.note:
        yield _line(report.target.note, "dim")
    for check in report.failures:
        yield Line()
        yield from _failure(check, unicode)
    for check in report.crashed:
        yield Line()
        yield _line(f"{'☠' if unicode else '[crash]'} {check.code} {check.title}", "magenta")
        yield _indented(check.detail)
    for line, style in rented.lines(report, SYMBOLS if unicode else ASCII_SYMBOLS):
        yield _line(line, style)
    if report.verbose:
        yield from _suppressed(report)
        yield from _passed(report, unicode)
    if report.timings:
        yield Line()
        for check in sorted(report.checks, key=lambda check: -check.seconds)[:10]:
            yield _indented(f"{check.seconds * 1000:8.2f} ms  {check.code} {check.name}")
    yield Line()
    yield _summary(report)


def _failure(check: Check, unicode: bool) -> Iterator[Line]:
    symbol = (SYMBOLS if unicode else ASCII_SYMBOLS)[check.severity]
    yield Line(((f"{symbol} {check.code} ", STYLES[check.severity]), (check.title, "bold")))
    if check.detail:
        yield _indented(check.detail)
    for evidence in check.evidence:
        yield _indented(f"found: {evidence}", "dim")
    for command in check.fix.commands:
        yield Line(((f"{'→' if unicode else '->'} {command}", "green"),), 4, is_pasted=True)


def _suppressed(report: Report) -> Iterator[Line]:
    if report.suppressed:
        yield Line()
        yield _line("suppressed", "bold")
    for check in report.suppressed:
        yield _indented(f"- {check.code} {check.title}: {acceptance(check)}", "dim")


def _passed(report: Report, unicode: bool) -> Iterator[Line]:
    groups: Dict[str, List[Check]] = {}
    for check in report.rest:
        groups.setdefault(group(check.code), []).append(check)
    for name, checks in groups.items():
        yield Line()
        yield _line(name, "bold")
        for check in checks:
            if check.status is Status.OK:
                yield _indented(f"{'✓' if unicode else '[ok]'} {check.code} {check.title}")
            else:
                yield _indented(f"- {check.code} not judged: {check.detail}", "dim")


def _summary(report: Report) -> Line:
    counts = report.summary()
    total = plural(len(report.checks), "check")
    suppressed = f"{counts['suppressed']} suppressed, " if report.suppressed else ""
    tail = f"{total}: {counts['ok']} ok, {counts['skipped']} not judged, {suppressed}{report.seconds:.2f} s."
    if not report.failures:
        return _line(f"No problem found in {tail}", "green")
    parts = [
        plural(report.count(severity), word)
        for severity, word in (
            (Severity.ERROR, "error"),
            (Severity.WARNING, "warning"),
            (Severity.INFO, "note"),
        )
        if report.count(severity)
    ]
    style = STYLES[report.failures[0].severity]
    return _line(f"{', '.join(parts)} in {tail} More on one: `envdoc explain CODE`.", style)
