"""GitHub Actions annotations: one workflow command a finding."""

from envdoc.doctor.finding import Check, Severity
from envdoc.doctor.report.model import Report, plural

COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report) -> str:
    """Annotations, worst first, then one plain summary line. A check that crashed is a warning."""
    lines = [_annotation(COMMANDS[check.severity], check, check.title) for check in report.failures]
    lines += [_annotation("warning", check, f"crashed: {check.title}") for check in report.crashed]
    suppressed = f", {len(report.suppressed)} suppressed" if report.suppressed else ""
    crashed = f", {len(report.crashed)} crashed" if report.crashed else ""
    found = plural(len(report.failures), "finding")
    lines.append(f"envdoc: {found} in {plural(len(report.checks), 'check')}{suppressed}{crashed}")
    return "\n".join(lines) + "\n"


def _annotation(command: str, check: Check, title: str) -> str:
    evidence = [f"Found: {text}" for text in check.evidence]
    commands = [f"`{text}`" for text in check.fix.commands]
    # A command without text is no annotation.
    message = "\n".join(line for line in (check.detail, *evidence, *commands) if line) or title
    return f"::{command} title={_property(f'{check.code} {title}')}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
