"""The JSON report: the contract of DESIGN section 3. Every check is in it, not only the failures."""

import json

from envdoc.doctor.report.model import SCHEMA_VERSION, Report


def render(report: Report) -> str:
    """One JSON document with a closing newline."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "envdoc_version": report.envdoc_version,
        "rules_version": report.rules_version,
        "target": {
            "python": report.target.path,
            "version": report.python_version,
            "reason": report.target.reason,
        },
        "summary": report.summary(),
        "checks": [check.to_json() for check in report.checks],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
