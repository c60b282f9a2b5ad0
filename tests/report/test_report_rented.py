"""The section on a rented machine: one line a matter, its number, worst first; nothing where nothing was measured."""

from dataclasses import replace

from envdoc.doctor.finding import Check, Kind, Severity, Status, Suppressed, Target
from envdoc.doctor.report import rented
from envdoc.doctor.report.model import Report, Row
from envdoc.doctor.report.text import ASCII_SYMBOLS, SYMBOLS, render
from envdoc.doctor.rules.registry import all_rules
from envdoc.doctor.rules.rented import ROWS


def check(code, status, title="", detail="", severity=Severity.WARNING):
    """A result."""
    return Check(code, code.lower(), status, severity, Kind.HOST, title, detail)


CHECKS = (
    check("NET001", Status.OK, "The index answers after 5 ms"),
    check("NET002", Status.OK, "The index delivers 40 MB/s"),
    check("NET004", Status.SKIPPED, "The hub answers", "no answer from the model hub: no such name"),
    check("NET011", Status.SKIPPED, "The token is accepted", "HF_TOKEN is not set"),
    check("SYS001", Status.FAIL, "Only 4 GB is free"),
    check("SYS042", Status.FAIL, "70B is a download of 141 GB", severity=Severity.ERROR),
    replace(check("NET005", Status.FAIL, "The hub is slow"), suppressed=Suppressed("a branch office")),
)
ROWS_HERE = (
    Row("room", ("SYS001", "SYS042")),
    Row("index", ("NET001", "NET002")),
    Row("hub", ("NET004",)),
    Row("speed", ("NET005",)),
    Row("token", ("NET011",), is_lesser=True),
)


def report(rows=ROWS_HERE):
    """A report over those checks."""
    return Report("1", Target("/python", "test"), "3.11", CHECKS, 0.1, rented=rows)


def test_each_row_says_the_worst_or_the_number_or_why_not():
    """Failures worst first; of what passed the last, which has the number; a lesser matter is left out."""
    assert [
        "",
        "rented machine",
        "    ✗ room   70B is a download of 141 GB",
        "    ! room   Only 4 GB is free",
        "    ✓ index  The index delivers 40 MB/s",
        "    - hub    not judged: no answer from the model hub: no such name",
        "    - speed  suppressed: The hub is slow",
    ] == [line for line, _ in rented.lines(report(), SYMBOLS)]


def test_ascii_where_nothing_else_can_be_shown():
    """As the rest of the report."""
    told = "\n".join(line for line, _ in rented.lines(report(), ASCII_SYMBOLS))
    assert told.isascii() and "[ok] index" in told and "[error] room" in told


def test_without_rows_the_text_is_as_ever():
    """Quiet: no heading, no empty line."""
    assert [] == list(rented.lines(report(()), SYMBOLS))
    assert "rented machine" in render(report()) and "rented machine" not in render(report(()))


def test_every_row_names_rules_that_exist():
    """A code that is gone would leave a line out without a word."""
    codes = {rule.code for rule in all_rules()}
    assert set() == {code for _, row, _ in ROWS for code in row} - codes
