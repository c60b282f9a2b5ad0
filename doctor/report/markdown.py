"""The report as a block to paste into an issue."""

import re
from typing import List, Sequence

from envdoc.doctor.finding import Check
from envdoc.doctor.report.model import Report, acceptance, group, plural

_CODE = re.compile(r"(?<!`)(`[^`\n]+`)(?!`)")  # a span that our messages write
_MARKUP = re.compile(r"[\\`*\[\]~|]|(?<![^\W_])_|_(?![^\W_])|^(?:[#+=-]|\d+(?=[.)](?:\s|$)))", re.MULTILINE)
_REFERENCE = re.compile(
    r"(?<!\w)(?:@(?=\w)|#(?=\d))"
)  # would call people, or link to issues of another project
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(report: Report) -> str:
    """Markdown: a summary line, the findings, and every other check folded away."""
    counts = report.summary()
    version = f"Python {report.python_version or 'unknown'}"
    lines: List[str] = [
        "## envdoc check",
        "",
        f"{_span(report.target.path)} ({_plain(version)}), {_plain(report.target.reason)}. "
        f"envdoc {_plain(report.envdoc_version)}, rules {_plain(report.rules_version)}.",
        "",
        f"**{plural(int(counts['errors']), 'error')}, {plural(int(counts['warnings']), 'warning')}, "
        f"{plural(int(counts['infos']), 'note')}** in {plural(len(report.checks), 'check')}.",
    ]
    for check in report.failures:
        lines += ["", *_finding(check.severity.value, check)]
    for check in report.crashed:
        lines += ["", *_finding("crashed", check)]
    if report.suppressed:
        lines += ["", "Suppressed:", ""]
        lines += [f"- {c.code} {_plain(c.title)}: {_plain(acceptance(c))}" for c in report.suppressed]
    if report.rest:
        lines += ["", f"<details><summary>{plural(len(report.rest), 'other check')}</summary>"]
        lines += _folded(report)
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _finding(word: str, check: Check) -> List[str]:
    lines = [f"### {word}: {check.code} {_plain(check.title)}", ""]
    if check.detail:
        lines += [_plain(check.detail), ""]
    lines += [f"- found: {_plain(evidence)}" for evidence in check.evidence]
    if check.fix.commands:
        fence = _longer_than(check.fix.commands, 3)
        lines += ["", f"{fence}sh", *check.fix.commands, fence]
    return [line for line, before in zip(lines, ["x", *lines]) if line or before]  # no two empty lines


def _folded(report: Report) -> List[str]:
    lines: List[str] = []
    heading = ""
    for check in sorted(report.rest, key=lambda check: (group(check.code), check.code)):
        if group(check.code) != heading:
            heading = group(check.code)
            lines += ["", f"**{heading}**", ""]
        why = f" ({_plain(check.detail)})" if check.detail else ""
        lines.append(f"- {check.status.value}: {check.code} {_plain(check.title)}{why}")
    return lines


def _plain(text: str) -> str:
    """One line of text in which nothing but `code` is markup: no tag, no link, no emphasis, no mention."""
    pieces = _CODE.split(" ".join(text.split()))
    return "".join(piece if i % 2 else _escaped(piece) for i, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    text = re.sub("[&<>]", lambda match: _ENTITIES[match.group()], text)
    text = _MARKUP.sub(lambda match: _backslashed(match.group()), text)
    return _REFERENCE.sub(lambda match: f"&#{ord(match.group())};", text)


def _backslashed(markup: str) -> str:
    return f"{markup[:-1]}{markup[-1]}\\" if markup.isdigit() else f"\\{markup}"


def _span(text: str) -> str:
    """A span of code whatever is in the text."""
    fence = _longer_than([text], 1)
    return f"`{text}`" if fence == "`" else f"{fence} {text} {fence}"


def _longer_than(texts: Sequence[str], least: int) -> str:
    """A run of backticks longer than any in the texts."""
    runs = [len(run) for text in texts for run in re.findall("`+", text)]
    return "`" * max(least, 1 + max(runs, default=0))
