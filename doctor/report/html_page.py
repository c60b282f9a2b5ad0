"""One self-contained HTML page: no script, no font, no request."""

from html import escape

from envdoc.doctor.finding import Check
from envdoc.doctor.report.model import Report, acceptance, plural

PAGE_STYLE = "body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }"
# Every rule is for what is inside: in a notebook the rest of the page is not ours.
STYLE = """
.envdoc { font: 16px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff }
.envdoc h1 { font-size: 1.4rem } .envdoc h2 { font-size: 1.05rem; margin: 0 0 .3rem }
.envdoc article { border-left: .3rem solid; padding: .2rem 1rem; margin: 1.2rem 0 }
.envdoc .error { border-color: #cf222e } .envdoc .warning { border-color: #bf8700 }
.envdoc .info { border-color: #0969da } .envdoc .dim { color: #59636e }
.envdoc code, .envdoc pre { font: .9rem ui-monospace, monospace; background: #f2f3f5; padding: .1rem .3rem }
.envdoc pre { padding: .6rem; overflow-x: auto }
.envdoc td { padding: .1rem .8rem .1rem 0; vertical-align: top; text-align: left }
"""


def render(report: Report) -> str:
    """The page as text. Everything that came from the machine is escaped."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>envdoc: {escape(_title(report))}</title>
<style>{PAGE_STYLE}</style></head>
<body>
{fragment(report)}</body></html>
"""


def fragment(report: Report) -> str:
    """The same as one element with its own style, to be put into a page of somebody else's."""
    rows = "\n".join(
        f"<tr><td><code>{escape(check.code)}</code></td>"
        f"<td>{'suppressed' if check.suppressed else check.status.value}</td>"
        f"<td>{escape(check.title)} <span class=dim>{escape(acceptance(check) or check.detail)}</span></td></tr>"
        for check in report.checks
        if not check.failed
    )
    return f"""<div class="envdoc"><style>{STYLE}</style><h1>{escape(_title(report))}</h1>
<p><code>{escape(report.target.path)}</code> (Python {escape(report.python_version or "unknown")}),
{escape(report.target.reason)}. envdoc {escape(report.envdoc_version)}, rules {escape(report.rules_version)},
{report.seconds:.2f} s.</p>
{"".join(_finding(check) for check in report.failures)}
<details><summary>{plural(len(report.checks) - len(report.failures), "other check")}</summary>
<table>{rows}</table></details></div>
"""


def _title(report: Report) -> str:
    if not report.failures:
        return "No problem found"
    counts = report.summary()
    return (
        f"{plural(int(counts['errors']), 'error')}, {plural(int(counts['warnings']), 'warning')}, "
        f"{plural(int(counts['infos']), 'note')}"
    )


def _finding(check: Check) -> str:
    evidence = "".join(f"<li>{escape(line)}</li>" for line in check.evidence)
    commands = f"<pre>{escape(chr(10).join(check.fix.commands))}</pre>" if check.fix.commands else ""
    return (
        f'<article class="{check.severity.value}"><h2><code>{escape(check.code)}</code> {escape(check.title)}</h2>'
        f"<p>{escape(check.detail)}</p>{f'<ul>{evidence}</ul>' if evidence else ''}{commands}</article>\n"
    )
