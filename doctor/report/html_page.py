"""One self-contained HTML page: no script, no font, no request. A browser is told to make none either."""

import re
from html import escape
from typing import Dict, List

from envdoc.doctor.finding import Check, Severity
from envdoc.doctor.report.html_style import PAGE, STYLE
from envdoc.doctor.report.model import Report, acceptance, group, plural

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
FAULTS = {"host": "the machine", "library": "a library", "data": "the data", "script": "the script"}
_CODE = re.compile(r"`([^`\n]+)`")


def render(report: Report) -> str:
    """The page as text. Everything that came from the machine is escaped."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>envdoc: {escape(_verdict(report))}</title>
<style>{PAGE}</style></head>
<body>
{fragment(report)}</body></html>
"""


def fragment(report: Report) -> str:
    """The same as one element with its own style, to be put into a page of somebody else's."""
    parts = [
        f'<div class="envdoc"><style>{STYLE}</style>',
        _header(report),
        _filter(report),
        "<main>" if report.failures or report.crashed else "",
        *(_finding(check, check.severity.value, WORDS[check.severity]) for check in report.failures),
        *(_finding(check, "crashed", "crashed check") for check in report.crashed),
        "</main>" if report.failures or report.crashed else "",
        _suppressed(report),
        _rest(report),
        "</div>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _verdict(report: Report) -> str:
    counts = [(report.count(severity), word) for severity, word in WORDS.items()]
    counts.append((len(report.crashed), "crashed check"))
    return ", ".join(plural(count, word) for count, word in counts if count) or "No problem found"


def _header(report: Report) -> str:
    worst = report.failures[0].severity.value if report.failures else "crashed" if report.crashed else "ok"
    counts = report.summary()
    rows = {
        "Python": f"<code>{escape(report.target.path)}</code> {escape(report.python_version)}",
        "Why this one": escape(report.target.reason),
        "Checks": f"{len(report.checks)}: {counts['ok']} ok, {counts['skipped']} not judged, "
        f"{counts['suppressed']} suppressed, in {report.seconds:.2f} s",
        "Looked at": escape(report.taken_at.replace("T", " ").replace("Z", " UTC")),
        "envdoc": f"{escape(report.envdoc_version)}, rules {escape(report.rules_version)}",
    }
    note = f'<p class="dim">{escape(report.target.note)}</p>' if report.target.note else ""
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows.items() if value)
    return (
        f'<header class="{worst}"><h1 style="--verdict: var(--{worst})">{escape(_verdict(report))}</h1>'
        f"{note}<dl>{listed}</dl></header>"
    )


def _filter(report: Report) -> str:
    """Which severities are shown. Style alone does it: `:has()` in every browser since 2023."""
    present = [severity for severity in WORDS if report.count(severity)]
    if len(present) < 2:
        return ""
    labels = "".join(
        f'<label class="{severity.value}"><input type="checkbox" checked>'
        f"<strong>{report.count(severity)}</strong> {plural(report.count(severity), WORDS[severity]).split()[1]}"
        "</label>"
        for severity in present
    )
    return f'<fieldset class="filter" aria-label="Show">{labels}</fieldset>'


def _finding(check: Check, style: str, word: str) -> str:
    evidence = "".join(f"<li>{_text(line)}</li>" for line in check.evidence)
    commands = f"<pre>{escape(chr(10).join(check.fix.commands))}</pre>" if check.fix.commands else ""
    links = f" See {escape(', '.join(check.links))}." if check.links else ""
    return (
        f'<article class="{style}"><span class="badge">{word}</span> <code>{escape(check.code)}</code>'
        f"<h2>{_text(check.title)}</h2><p>{_text(check.detail)}</p>"
        f"{f'<ul>{evidence}</ul>' if evidence else ''}{commands}"
        f'<p class="dim"><small>A fault of {FAULTS[check.kind.value]}. More: <code>envdoc explain '
        f"{escape(check.code)}</code>.{links}</small></p></article>"
    )


def _suppressed(report: Report) -> str:
    if not report.suppressed:
        return ""
    rows = "".join(_row(check, "suppressed", acceptance(check)) for check in report.suppressed)
    return (
        f"<details><summary>{plural(len(report.suppressed), 'suppressed finding')}</summary>"
        f"<table>{rows}</table></details>"
    )


def _rest(report: Report) -> str:
    if not report.rest:
        return ""
    groups: Dict[str, List[Check]] = {}
    for check in report.rest:
        groups.setdefault(group(check.code), []).append(check)
    tables = "".join(
        f"<h3>{escape(name)}</h3><table>{''.join(_row(c, c.status.value, c.detail) for c in checks)}</table>"
        for name, checks in groups.items()
    )
    return f"<details><summary>{plural(len(report.rest), 'other check')}</summary>{tables}</details>"


def _row(check: Check, word: str, note: str) -> str:
    return (
        f'<tr class="{word}"><td><code>{escape(check.code)}</code></td>'
        f'<th scope="row"><span class="badge">{word}</span></th>'
        f'<td>{_text(check.title)} <span class="dim">{_text(note)}</span></td></tr>'
    )


def _text(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))
