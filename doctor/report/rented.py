"""The section of a report on a rented machine: a line for each thing that someone who chooses one looks at."""

from typing import Iterator, Mapping, Tuple

from envdoc.doctor.finding import Check, Severity, Status
from envdoc.doctor.report.model import Report

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def lines(report: Report, symbols: Mapping[Severity, str]) -> Iterator[Tuple[str, str]]:
    """Each line and its style; none where the report is not of a rented machine.

    A row says what was found wrong, or else the last of its checks that passed, with its number, or else why nothing
    was judged; a row of lesser matters is then left out. `symbols` are those of failures.
    """
    ascii_only = all(symbol.isascii() for symbol in symbols.values())
    rows = [
        (row.label, check) for row in report.rented for check in _of_row(report, row.codes, row.is_lesser)
    ]
    if rows:
        yield "", ""
        yield "rented machine", "bold"
    width = max((len(label) for label, _ in rows), default=0)
    for label, check in rows:
        if check.failed:
            symbol, text, style = symbols[check.severity], check.title, STYLES[check.severity]
        elif check.status is Status.OK:
            symbol, text, style = "[ok]" if ascii_only else "✓", check.title, ""
        elif check.suppressed is not None:
            symbol, text, style = "-", f"suppressed: {check.title}", "dim"
        else:
            symbol, text, style = "-", f"not judged: {check.detail}", "dim"
        yield f"    {symbol} {label:{width}}  {text}", style


def _of_row(report: Report, codes: Tuple[str, ...], is_lesser: bool) -> Tuple[Check, ...]:
    checks = tuple(check for code in codes for check in report.checks if check.code == code)
    failed = tuple(sorted((c for c in checks if c.failed), key=lambda c: c.severity.rank))
    passed = tuple(check for check in checks if check.status is Status.OK)
    return failed or passed[-1:] or (() if is_lesser else checks[-1:])
