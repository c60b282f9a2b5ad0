"""The report for people: quiet when all is well, worst first, one summary line."""

import io
import os
import shutil
import sys
from typing import Dict, List

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from envdoc.doctor.finding import Check, Severity, Status
from envdoc.doctor.report import rented
from envdoc.doctor.report.model import Report, acceptance, group, plural

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
SYMBOLS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.INFO: "•"}
ASCII_SYMBOLS = {Severity.ERROR: "[error]", Severity.WARNING: "[warn]", Severity.INFO: "[info]"}
MAX_WIDTH_COLUMNS = 110
PIPE_WIDTH_COLUMNS = 10_000  # a program reads it: no line is broken


def render(report: Report) -> str:
    """The report as text, with colour and symbols only where standard output can carry them."""
    return _rendered(report, _console(), _carries_symbols())


def render_for_file(report: Report) -> str:
    """The same for a UTF-8 file: symbols, no colour, no broken line."""
    return _rendered(
        report,
        Console(file=io.StringIO(), width=PIPE_WIDTH_COLUMNS, highlight=False, force_jupyter=False),
        True,
    )


def _rendered(report: Report, console: Console, unicode: bool) -> str:
    where = f"Examined {report.target.path}"
    if report.python_version:
        where += f" (Python {report.python_version})"
    console.print(Text(f"{where}: {report.target.reason}."))
    if report.target.note:
        console.print(Text(report.target.note, style="dim"))
    for check in report.failures:
        console.print()
        _print_failure(console, check, unicode)
    for check in report.crashed:
        console.print()
        console.print(Text(f"{'☠' if unicode else '[crash]'} {check.code} {check.title}", style="magenta"))
        console.print(_indented(check.detail))
    for line, style in rented.lines(report, SYMBOLS if unicode else ASCII_SYMBOLS):
        console.print(Text(line, style=style))
    if report.verbose:
        _print_suppressed(console, report)
        _print_passed(console, report, unicode)
    if report.timings:
        _print_timings(console, report)
    console.print()
    console.print(_summary(report))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def _console() -> Console:
    """A console that writes to a string but asks the real standard output what it can show."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    plain = not terminal or os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))
    width = shutil.get_terminal_size((MAX_WIDTH_COLUMNS, 24)).columns
    return Console(
        file=io.StringIO(),
        width=min(max(width, 40), MAX_WIDTH_COLUMNS) if terminal else PIPE_WIDTH_COLUMNS,
        force_terminal=not plain or bool(os.environ.get("FORCE_COLOR")),
        no_color=bool(os.environ.get("NO_COLOR")),
        highlight=False,
        force_jupyter=False,  # in a notebook rich would display the lines and write none
    )


def _carries_symbols() -> bool:
    try:
        "✗•☠→✓".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _print_failure(console: Console, check: Check, unicode: bool) -> None:
    symbol = (SYMBOLS if unicode else ASCII_SYMBOLS)[check.severity]
    line = Text(f"{symbol} {check.code} ", style=STYLES[check.severity])
    console.print(line + Text(check.title, style="bold"))
    if check.detail:
        console.print(_indented(check.detail))
    for evidence in check.evidence:
        console.print(_indented(f"found: {evidence}", "dim"))
    for command in check.fix.commands:  # the terminal breaks a long one, not we: it is to be pasted
        console.print(Text(f"    {'→' if unicode else '->'} {command}", style="green"), soft_wrap=True)


def _indented(text: str, style: str = "") -> Padding:
    return Padding(Text(text, style=style), (0, 0, 0, 4), expand=False)


def _print_suppressed(console: Console, report: Report) -> None:
    if report.suppressed:
        console.print()
        console.print(Text("suppressed", style="bold"))
    for check in report.suppressed:
        console.print(_indented(f"- {check.code} {check.title}: {acceptance(check)}", "dim"))


def _print_passed(console: Console, report: Report, unicode: bool) -> None:
    groups: Dict[str, List[Check]] = {}
    for check in report.rest:
        groups.setdefault(group(check.code), []).append(check)
    for name, checks in groups.items():
        console.print()
        console.print(Text(name, style="bold"))
        for check in checks:
            if check.status is Status.OK:
                console.print(_indented(f"{'✓' if unicode else '[ok]'} {check.code} {check.title}"))
            else:
                console.print(_indented(f"- {check.code} not judged: {check.detail}", "dim"))


def _print_timings(console: Console, report: Report) -> None:
    console.print()
    for check in sorted(report.checks, key=lambda check: -check.seconds)[:10]:
        console.print(_indented(f"{check.seconds * 1000:8.2f} ms  {check.code} {check.name}"))


def _summary(report: Report) -> Text:
    counts = report.summary()
    total = plural(len(report.checks), "check")
    suppressed = f"{counts['suppressed']} suppressed, " if report.suppressed else ""
    tail = f"{total}: {counts['ok']} ok, {counts['skipped']} not judged, {suppressed}{report.seconds:.2f} s."
    if not report.failures:
        return Text(f"No problem found in {tail}", style="green")
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
    return Text(f"{', '.join(parts)} in {tail} More on one: `envdoc explain CODE`.", style=style)
