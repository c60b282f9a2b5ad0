"""GitHub Actions annotations: one workflow command a finding."""

from envdoc.doctor.finding import Severity
from envdoc.doctor.report.model import Report, plural

COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report) -> str:
    """Annotations, then one plain summary line."""
    lines = [
        f"::{COMMANDS[check.severity]} title={_property(f'{check.code} {check.title}')}::"
        + _data(" ".join([check.detail, *(f"`{command}`" for command in check.fix.commands)]))
        for check in report.failures
    ]
    suppressed = f", {len(report.suppressed)} suppressed" if report.suppressed else ""
    lines.append(
        f"envdoc: {plural(len(report.failures), 'finding')} in {plural(len(report.checks), 'check')}{suppressed}"
    )
    return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
