"""SARIF 2.1.0, for code-scanning dashboards."""

import json
from typing import Any, Dict
from urllib.parse import quote

from envdoc.doctor.finding import Check, Severity
from envdoc.doctor.report.model import Report, acceptance, group

LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(report: Report) -> str:
    """One SARIF log with one run; results are the failed checks and those suppressed, rules are all that were run."""
    rules = {check.code: _rule(check) for check in report.checks}
    index = {code: position for position, code in enumerate(rules)}
    findings = (*report.failures, *report.suppressed)
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "envdoc",
                        "semanticVersion": report.envdoc_version,
                        "rules": list(rules.values()),
                    }
                },
                "invocations": [_invocation(report)],
                "results": [_result(check, report, index[check.code]) for check in findings],
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _invocation(report: Report) -> Dict[str, Any]:
    """A check that crashed is no result of the tool: SARIF has notifications for that."""
    crashed = report.crashed
    return {
        "executionSuccessful": not crashed,
        "toolExecutionNotifications": [
            {
                "descriptor": {"id": check.code},
                "level": "error",
                "message": {"text": _message(f"{check.title}. {check.detail}")},
            }
            for check in crashed
        ],
    }


def _message(text: str) -> str:
    """Text in which nothing is a placeholder (SARIF 2.1.0, 3.11.5) and nothing a link (3.11.6)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _rule(check: Check) -> Dict[str, Any]:
    return {
        "id": check.code,
        "name": check.name,
        "shortDescription": {"text": check.name.replace("-", " ")},
        "help": {
            "text": f"`envdoc explain {check.code}` says what it looks at, why it matters and what to do."
        },
        "defaultConfiguration": {"level": LEVELS[check.severity]},
        "properties": {"kind": check.kind.value, "tags": [group(check.code)]},
    }


def _result(check: Check, report: Report, rule_index: int) -> Dict[str, Any]:
    uri = quote(report.target.path.lstrip("/"))  # a redacted path may hold what no URI may
    lines = [check.title + ".", check.detail, *check.evidence, *check.fix.commands]
    result: Dict[str, Any] = {
        "ruleId": check.code,
        "ruleIndex": rule_index,
        "level": LEVELS[check.severity],
        "message": {"text": _message("\n".join(line for line in lines if line))},
        # An environment has no source line: the interpreter that was examined is the artefact.
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}}}],
        "partialFingerprints": {"envdoc/v1": f"{check.code}:{','.join(check.affects)}"},
    }
    if check.suppressed is not None:
        justified = {"kind": "external", "status": "accepted", "justification": acceptance(check)}
        result["suppressions"] = [justified]
    return result
