"""The report as a block to paste into an issue."""

from typing import List

from envdoc.doctor.finding import Check
from envdoc.doctor.report.model import Report, acceptance, plural


def render(report: Report) -> str:
    """Markdown: a summary line, the findings, and every other check folded away."""
    counts = report.summary()
    lines: List[str] = [
        "## envdoc check",
        "",
        f"`{report.target.path}` (Python {report.python_version or 'unknown'}), {report.target.reason}. "
        f"envdoc {report.envdoc_version}, rules {report.rules_version}.",
        "",
        f"**{plural(int(counts['errors']), 'error')}, {plural(int(counts['warnings']), 'warning')}, "
        f"{plural(int(counts['infos']), 'note')}** in {plural(len(report.checks), 'check')}.",
    ]
    for check in report.failures:
        lines += ["", *_finding(check)]
    if report.suppressed:
        lines += ["", "Suppressed:", ""]
        lines += [f"- {c.code} {_plain(c.title)}: {_plain(acceptance(c))}" for c in report.suppressed]
    rest = [check for check in report.checks if not check.failed and check.suppressed is None]
    if rest:
        lines += ["", "<details><summary>Everything else</summary>", ""]
        lines += [f"- {check.status.value}: {check.code} {_plain(check.title)}" for check in rest]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _finding(check: Check) -> List[str]:
    lines = [f"### {check.severity.value}: {check.code} {_plain(check.title)}", "", _plain(check.detail)]
    lines += [f"- found: {_plain(evidence)}" for evidence in check.evidence]
    if check.fix.commands:
        lines += ["", "```sh", *check.fix.commands, "```"]
    return lines


def _plain(text: str) -> str:
    """Text that cannot open a tag or a table in Markdown."""
    return text.replace("<", "&lt;").replace("|", "\\|")
