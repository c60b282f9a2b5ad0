"""Every format says the same of one report, and is valid where a standard says what valid is."""

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from envdoc.doctor.finding import Check, Fix, Kind, Severity, Status, Suppressed, Target
from envdoc.doctor.report import FORMATS, renderer
from envdoc.doctor.report.model import Report


def check(code, status=Status.FAIL, severity=Severity.ERROR, **values):
    return Check(
        code=code,
        name=f"name-of-{code.lower()}",
        status=status,
        severity=severity,
        kind=Kind.HOST,
        title=values.pop("title", f"title of {code}"),
        **values,
    )


def report(*checks):
    return Report("1.2.3", Target("/opt/env/bin/python", "given by --python"), "3.11.7", checks, 0.125)


MIXED = report(
    check("SYS001", severity=Severity.WARNING, detail="Only 64 MiB.", affects=("/dev/shm",)),
    check(
        "DRV002",
        detail="Too old <b>, 100%\nnext",
        fix=Fix(False, ("sudo apt-get install x",)),
        evidence=("525",),
    ),
    check("TOR001", Status.OK),
    check("GPU001", Status.SKIPPED, detail="no GPU was found"),
    check("BNB001", Status.CRASHED, detail="ValueError: \x00 odd"),
    check("CFG001", severity=Severity.INFO),
)


def test_exit_codes():
    """1 where a finding reaches the threshold, 2 where only a check crashed, 0 otherwise."""
    warning = report(check("SYS001", severity=Severity.WARNING))
    crashed = report(check("SYS001", Status.CRASHED))

    assert [1, 1, 0] == [MIXED.exit_code(level) for level in ("error", "warning", "never")]
    assert [0, 1, 0] == [warning.exit_code(level) for level in ("error", "warning", "never")]
    assert [2, 2, 0] == [crashed.exit_code(level) for level in ("error", "warning", "never")]


def test_json_is_the_contract():
    """Every check is in the document, with exactly the keys that others' programs read, and more."""
    document = json.loads(renderer("json")(MIXED))

    assert {"schema_version", "envdoc_version", "rules_version", "target", "summary", "checks"} == set(
        document
    )
    assert ["fail", "fail", "ok", "skipped", "crashed", "fail"] == [c["status"] for c in document["checks"]]
    contract = {
        "code",
        "name",
        "status",
        "severity",
        "title",
        "detail",
        "evidence",
        "affects",
        "fix",
        "links",
    }
    assert contract | {"seconds"} <= set(document["checks"][0])
    assert {"safe": False, "commands": ["sudo apt-get install x"]} == document["checks"][1]["fix"]
    assert {
        "errors": 1,
        "warnings": 1,
        "infos": 1,
        "ok": 1,
        "skipped": 1,
        "crashed": 1,
        "suppressed": 0,
        "seconds": 0.125,
    } == document["summary"]


def test_text_is_worst_first_and_quiet():
    """Errors come before warnings before notes; passing checks are not named without -v."""
    text = renderer("text")(MIXED)

    assert text.index("DRV002") < text.index("SYS001") < text.index("CFG001")
    assert "TOR001" not in text
    assert "1 error, 1 warning, 1 note in 6 checks: 1 ok, 1 not judged" in text
    assert "No problem found in 1 check: 1 ok" in renderer("text")(report(check("TOR001", Status.OK)))


def test_text_without_a_terminal_has_no_escapes(monkeypatch):
    """No colour reaches a pipe, and markup in a title is text."""
    text = renderer("text")(report(check("TOR001", title="torch [red]2.0[/red] on H200")))

    assert "\x1b" not in text
    assert "torch [red]2.0[/red] on H200" in text


def test_junit_counts():
    """Infos pass; errors, warnings, crashes and skips are each told as JUnit has them."""
    suite = ElementTree.fromstring(renderer("junit")(MIXED).encode()).find("testsuite")

    assert ("6", "2", "1", "1") == tuple(suite.get(key) for key in ("tests", "failures", "errors", "skipped"))
    assert 2 == len(suite.findall("testcase/failure"))


def test_sarif_results_point_at_their_rules():
    """Each result names a rule of the run, by id and by index, with SARIF's own levels."""
    run = json.loads(renderer("sarif")(MIXED))["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]

    assert ["DRV002", "SYS001", "CFG001"] == [result["ruleId"] for result in run["results"]]
    assert ["error", "warning", "note"] == [result["level"] for result in run["results"]]
    assert ["DRV002", "SYS001", "CFG001"] == [rules[result["ruleIndex"]] for result in run["results"]]


def test_github_escapes_what_would_end_the_command():
    """A percent sign, a newline or a colon in a message stays inside its annotation."""
    first = renderer("github")(MIXED).splitlines()[0]

    assert (
        "::error title=DRV002 title of DRV002::Too old <b>, 100%25%0Anext%0AFound: 525%0A`sudo apt-get install x`"
        == first
    )


def test_gitlab_is_told_what_its_documentation_asks():
    """An array of issues with exactly GitLab's keys and severities, each fault with a fingerprint of its own."""
    found = json.loads(renderer("gitlab")(MIXED))

    keys = {"description", "check_name", "fingerprint", "severity", "location"}
    assert [keys] * 4 == [set(issue) for issue in found]
    assert ["critical", "minor", "info", "major"] == [issue["severity"] for issue in found]
    assert ["DRV002", "SYS001", "CFG001", "BNB001"] == [issue["check_name"] for issue in found]
    assert 4 == len({issue["fingerprint"] for issue in found})
    assert {"path": "opt/env/bin/python", "lines": {"begin": 1}} == found[0]["location"]


def test_gitlab_knows_a_fault_again():
    """The same fault in another run has the same fingerprint, whatever else was found."""
    alone = report(*[check for check in MIXED.checks if check.code == "DRV002"])
    found = json.loads(renderer("gitlab")(MIXED)), json.loads(renderer("gitlab")(alone))

    assert found[0][0]["fingerprint"] == found[1][0]["fingerprint"]


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_nothing_from_the_machine_opens_a_tag(name):
    """A title with markup is shown and not obeyed."""
    page = renderer(name)(report(check("TOR001", title="<script>alert(1)</script>")))

    assert "<script>" not in page
    assert "&lt;script" in page


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_every_failure(name):
    """No format loses a finding."""
    rendered = renderer(name)(MIXED)

    assert [] == [c.code for c in MIXED.failures if c.code not in rendered]


ACCEPTED = report(
    check("SYS001", suppressed=Suppressed("one worker <only>", "2027-01-31")),
    check("TOR001", Status.OK),
)


def test_a_suppressed_finding_is_no_failure():
    """It does not count for the exit code nor as an error, and keeps the status that its rule gave it."""
    document = json.loads(renderer("json")(ACCEPTED))

    assert [0, 0] == [ACCEPTED.exit_code("error"), ACCEPTED.exit_code("warning")]
    assert (0, 1) == (document["summary"]["errors"], document["summary"]["suppressed"])
    assert "fail" == document["checks"][0]["status"]
    assert {"reason": "one worker <only>", "until": "2027-01-31"} == document["checks"][0]["suppressed"]
    assert document["checks"][1]["suppressed"] is None


def test_text_counts_what_is_suppressed_and_lists_it_when_asked():
    """The summary line has the number; -v gives the reason and the last day."""
    verbose = dataclasses.replace(ACCEPTED, verbose=True)

    assert "No problem found in 2 checks: 1 ok, 0 not judged, 1 suppressed, 0." in renderer("text")(ACCEPTED)
    assert "SYS001" not in renderer("text")(ACCEPTED)
    assert "SYS001 title of SYS001: one worker <only>, until 2027-01-31" in renderer("text")(verbose)


@pytest.mark.parametrize("name", sorted({"sarif", "junit", "markdown", "html"}))
def test_the_reason_is_in_every_document(name):
    """Whoever reads a report of another kind learns too that a finding was accepted, and why."""
    rendered = renderer(name)(ACCEPTED)

    assert "SYS001" in rendered
    assert "one worker" in rendered
    assert "2027-01-31" in rendered


def test_sarif_and_junit_say_suppressed_in_their_own_words():
    """A SARIF result has an accepted suppression; a JUnit case is skipped, and counted so."""
    result = json.loads(renderer("sarif")(ACCEPTED))["runs"][0]["results"][0]
    suite = ElementTree.fromstring(renderer("junit")(ACCEPTED).encode()).find("testsuite")

    assert [("external", "accepted")] == [(s["kind"], s["status"]) for s in result["suppressions"]]
    assert ("0", "1", 1) == (
        suite.get("failures"),
        suite.get("skipped"),
        len(suite.findall("testcase/skipped")),
    )
