"""GitLab's code quality report: the widget of a merge request, and the list on a pipeline's page."""

import hashlib
import json
from typing import Any, Dict

from envdoc.doctor.finding import Check, Severity
from envdoc.doctor.report.model import Report

# The severities that GitLab knows, from "info" to "blocker" (GitLab documentation, "Code Quality", 2026-08).
SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.INFO: "info"}


def render(report: Report) -> str:
    """A JSON array with one object a finding, worst first; a check that crashed is a finding of severity major."""
    found = [_finding(check, report, SEVERITIES[check.severity], check.title) for check in report.failures]
    found += [_finding(check, report, "major", f"crashed: {check.title}") for check in report.crashed]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _finding(check: Check, report: Report, severity: str, title: str) -> Dict[str, Any]:
    # The same fault keeps its fingerprint from one run to the next, so that GitLab tells what is new.
    same = "\n".join((check.code, check.status.value, check.title, *check.affects))
    text = ". ".join(part for part in (f"{check.code} {title}", check.detail) if part)
    return {
        "description": " ".join([text, *(f"`{command}`" for command in check.fix.commands)]),
        "check_name": check.code,
        "fingerprint": hashlib.sha256(same.encode("utf-8", "surrogateescape")).hexdigest(),
        "severity": severity,
        # An environment has no source line: the interpreter that was examined is the place.
        "location": {"path": report.target.path.lstrip("/") or "envdoc", "lines": {"begin": 1}},
    }
