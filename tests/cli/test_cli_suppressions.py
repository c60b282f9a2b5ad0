"""Findings that a project accepts, with a reason and a last day; mistakes in the file are told at once."""

import datetime
import json
from pathlib import Path

import pytest

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.finding import Check, Kind, Severity, Status, Suppressed
from envdoc.doctor.suppressions import Suppression, apply, load, unused

MACHINE = Path(__file__).parents[1] / "snapshots" / "gtx1080-driver470.json"
CODES = {"SYS001", "SYS004", "TOR001"}
ENTRY = '{ code = "SYS004", reason = "a test machine", until = "2027-01-31" }'
TODAY = datetime.date(2027, 1, 31)


def failed(code, status=Status.FAIL):
    return Check(code, "name", status, Severity.ERROR, Kind.HOST, "title", "Why.")


def test_both_files_are_read(tmp_path):
    """envdoc.toml and pyproject.toml add up; a TOML date is as good as a string."""
    (tmp_path / "envdoc.toml").write_text(f"ignore = [{ENTRY}]\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.envdoc]\nignore = [{ code = "tor001", reason = "none yet", until = 2027-02-01 }]\n',
        encoding="utf-8",
    )

    assert (
        Suppression("SYS004", "a test machine", TODAY, "envdoc.toml"),
        Suppression("TOR001", "none yet", datetime.date(2027, 2, 1), "pyproject.toml"),
    ) == load(tmp_path, CODES)


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n", "[tool.envdoc]\n", "broken = [\n"])
def test_a_project_without_suppressions(text, tmp_path):
    """No entry is no error, and a pyproject.toml that never names envdoc is not read as one."""
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")

    assert () == load(tmp_path, CODES)


MISTAKES = {
    "broken TOML": ("ignore = [", "envdoc.toml is no valid TOML"),
    "a code unknown": (f"ignore = [{ENTRY.replace('SYS004', 'SYS999')}]", "`SYS999`, and no rule has that code"),
    "no code": ('ignore = [{ reason = "x" }]', "an entry without a code"),
    "a code alone": ('ignore = ["SYS004"]', "an entry without a code: 'SYS004'"),
    "no reason": ('ignore = [{ code = "SYS004" }]', "SYS004 in envdoc.toml gives no reason"),
    "an empty reason": ('ignore = [{ code = "SYS004", reason = " " }]', "gives no reason"),
    "no date": (f"ignore = [{ENTRY.replace('2027-01-31', 'soon')}]", "until `soon`, which is no date"),
    "a day that is none": (f"ignore = [{ENTRY.replace('01-31', '02-30')}]", "until `2027-02-30`, which is no date"),
    "a date in short": (f"ignore = [{ENTRY.replace('2027-01-31', '20270131')}]", "which is no date"),
    "a moment": ('ignore = [{ code = "SYS004", reason = "x", until = 2027-01-31T10:00:00 }]', "which is no date"),
    "a misspelt key": (f"ignore = [{ENTRY.replace('until', 'untill')}]", "the unknown key `untill`"),
    "a misspelt table": (f"ingore = [{ENTRY}]", "the key `ingore`"),
    "no list": (f"ignore = {ENTRY}", "is no list"),
    "the same twice": (f"ignore = [{ENTRY}, {ENTRY}]", "SYS004 is suppressed twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case, tmp_path):
    """Each has one sentence that names the file or the code."""
    text, expected = MISTAKES[case]
    (tmp_path / "envdoc.toml").write_text(text + "\n", encoding="utf-8")

    with pytest.raises(EnvdocError) as told:
        load(tmp_path, CODES)

    assert expected in told.value.message


def test_the_last_day_still_counts():
    """On the day itself a finding is accepted; the day after it is back, and says what had been agreed."""
    agreed = [Suppression("SYS004", "a test machine", TODAY, "envdoc.toml")]
    tomorrow = TODAY + datetime.timedelta(days=1)

    (accepted, other) = apply([failed("SYS004"), failed("SYS001")], agreed, TODAY)
    (back,) = apply([failed("SYS004")], agreed, tomorrow)

    assert (Suppressed("a test machine", "2027-01-31"), None) == (accepted.suppressed, other.suppressed)
    assert [False, True, True] == [accepted.failed, other.failed, back.failed]
    assert (
        "Why. It was suppressed in envdoc.toml (a test machine); that expired on 2027-01-31." == back.detail
    )


def test_unused_ones():
    """Only what was judged and found well is unused; a rule that was skipped or not selected may need it yet."""
    agreed = [Suppression(code, "x", None, "envdoc.toml") for code in ("SYS001", "SYS004", "TOR001")]
    checks = [failed("SYS001", Status.OK), failed("SYS004", Status.SKIPPED)]

    assert ["SYS001"] == [one.code for one in unused(checks, agreed)]


def test_the_command_line(envdoc, tmp_path):
    """Errors that are accepted leave exit code 0; one that has expired and one that is unused are told."""
    command = ("check", "--facts", MACHINE, "--format", "json")
    before = json.loads(envdoc(*command).stdout)
    errors = sorted(
        {c["code"] for c in before["checks"] if (c["status"], c["severity"]) == ("fail", "error")}
    )
    well = next(c["code"] for c in before["checks"] if c["status"] == "ok")
    entries = [f'{{ code = "{code}", reason = "an old GPU" }}' for code in [*errors, well]]
    (tmp_path / "envdoc.toml").write_text(f"ignore = [{', '.join(entries)}]\n", encoding="utf-8")

    done = envdoc(*command)
    after = json.loads(done.stdout)
    (tmp_path / "envdoc.toml").write_text(
        f'ignore = [{{ code = "{errors[0]}", reason = "an old GPU", until = "2020-01-01" }}]\n',
        encoding="utf-8",
    )
    expired = envdoc("check", "--facts", MACHINE)

    assert errors
    assert (0, 0) == (done.returncode, after["summary"]["errors"])
    assert before["summary"]["errors"] == after["summary"]["suppressed"]
    assert done.stderr.startswith(f"note: envdoc.toml suppresses {well}, which finds nothing here")
    assert 1 == expired.returncode
    assert "(an old GPU); that expired on 2020-01-01." in expired.stdout


def test_a_bad_file_ends_the_command(envdoc, tmp_path):
    """Exit code 2, one error and a hint on standard error, nothing on standard output."""
    (tmp_path / "pyproject.toml").write_text("[tool.envdoc]\nignore = [\n", encoding="utf-8")

    done = envdoc("check", "--facts", MACHINE)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("error: pyproject.toml is no valid TOML: ")
