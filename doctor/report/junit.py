"""JUnit XML: one test case a check, for the CI systems that read it.

There is no one standard: the document is valid by Ant's schema, the strictest, and by that of Jenkins's xUnit plug-in.
Hence the attributes that are always the same, and a case that holds one element at most.
"""

import re
from typing import List, Tuple
from xml.etree import ElementTree

from envdoc.doctor.finding import Check, Severity, Status
from envdoc.doctor.report.model import Report, acceptance, group

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def render(report: Report) -> str:
    """One `testsuite`. An info is a pass, since no run should fail for it; its text is the suite's output."""
    suite = ElementTree.Element(
        "testsuite",
        name="envdoc check",
        package="envdoc",
        id="0",
        hostname="localhost",  # the machine's name is nobody's business
        timestamp=report.taken_at.rstrip("Z") or "1970-01-01T00:00:00",
        tests=str(len(report.checks)),
        failures=str(report.count(Severity.ERROR) + report.count(Severity.WARNING)),
        errors=str(len(report.crashed)),
        skipped=str(len(report.of_status(Status.SKIPPED)) + len(report.suppressed)),
        time=f"{report.seconds:.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(report):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for check in report.checks:
        _case(suite, check)
    infos = [check for check in report.failures if check.severity is Severity.INFO]
    told = "\n\n".join(f"{check.code} {check.title}\n{_body(check)}" for check in infos)
    ElementTree.SubElement(suite, "system-out").text = _clean(told)
    ElementTree.SubElement(suite, "system-err")
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    text: str = ElementTree.tostring(suites, encoding="unicode")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + text + "\n"


def _properties(report: Report) -> List[Tuple[str, str]]:
    return [
        ("envdoc", report.envdoc_version),
        ("rules", report.rules_version),
        ("python", report.target.path),
        ("python-version", report.python_version),
        ("reason", report.target.reason),
    ]


def _case(suite: ElementTree.Element, check: Check) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"envdoc.{group(check.code)}",
        name=_clean(f"{check.code} {check.title}"),
        time=f"{check.seconds:.6f}",
    )
    if check.failed and check.severity is not Severity.INFO:
        failure = ElementTree.SubElement(
            case, "failure", message=_clean(check.title), type=check.severity.value
        )
        failure.text = _clean(_body(check))
    elif check.suppressed is not None:
        ElementTree.SubElement(case, "skipped", message=_clean(f"suppressed: {acceptance(check)}"))
    elif check.status is Status.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=_clean(check.detail))
    elif check.status is Status.CRASHED:
        error = ElementTree.SubElement(case, "error", message=_clean(check.title), type="crashed")
        error.text = _clean(_body(check))


def _body(check: Check) -> str:
    return "\n".join([check.detail, *check.evidence, *check.fix.commands]).strip()


def _clean(text: str) -> str:
    return NOT_XML.sub("�", text)
