"""JUnit XML: one test case a check, for the CI systems that read it."""

import re
from xml.etree import ElementTree

from envdoc.doctor.finding import Severity, Status
from envdoc.doctor.report.model import Report, acceptance, group

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def render(report: Report) -> str:
    """One `testsuite`. An info is a pass with its text as output, since no run should fail for it."""
    suite = ElementTree.Element(
        "testsuite",
        name="envdoc check",
        tests=str(len(report.checks)),
        failures=str(report.count(Severity.ERROR) + report.count(Severity.WARNING)),
        errors=str(len(report.of_status(Status.CRASHED))),
        skipped=str(len(report.of_status(Status.SKIPPED)) + len(report.suppressed)),
        time=f"{report.seconds:.3f}",
    )
    for check in report.checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"envdoc.{group(check.code)}",
            name=_clean(f"{check.code} {check.title}"),
            time=f"{check.seconds:.6f}",
        )
        body = _clean("\n".join([check.detail, *check.evidence, *check.fix.commands]).strip())
        if check.failed and check.severity is not Severity.INFO:
            failure = ElementTree.SubElement(
                case, "failure", message=_clean(check.title), type=check.severity.value
            )
            failure.text = body
        elif check.failed:
            ElementTree.SubElement(case, "system-out").text = body
        elif check.suppressed is not None:
            ElementTree.SubElement(case, "skipped", message=_clean(f"suppressed: {acceptance(check)}"))
        elif check.status is Status.SKIPPED:
            ElementTree.SubElement(case, "skipped", message=_clean(check.detail))
        elif check.status is Status.CRASHED:
            ElementTree.SubElement(case, "error", message=_clean(check.title), type="crashed").text = body
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    text: str = ElementTree.tostring(suites, encoding="unicode")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + text + "\n"


def _clean(text: str) -> str:
    return NOT_XML.sub("�", text)
