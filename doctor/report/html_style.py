"""How the HTML report looks: one style sheet, no font, no image, no script.

Every rule is for what is inside `.envdoc`, since in a notebook the rest of the page is not ours. Text keeps a contrast
of at least 4.5 to its ground (WCAG 2.1, 1.4.3) in both colour schemes; a test computes it from the variables.
"""

from typing import Dict

LIGHT = {
    "ground": "#ffffff", "raised": "#f6f8fa", "line": "#d1d9e0", "text": "#1f2328", "dim": "#57606a",
    "error": "#b3181f", "warning": "#7d4e00", "info": "#0550ae", "ok": "#116329", "crashed": "#6639ba",
}  # fmt: skip
DARK = {
    "ground": "#0d1117", "raised": "#161b22", "line": "#30363d", "text": "#e6edf3", "dim": "#9198a1",
    "error": "#ff7b72", "warning": "#e3b341", "info": "#79c0ff", "ok": "#56d364", "crashed": "#d2a8ff",
}  # fmt: skip

PAGE = """
body { margin: 0; background: #ffffff }
body > .envdoc { max-width: 56rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
@media (prefers-color-scheme: dark) { body { background: #0d1117 } }
@media print { body > .envdoc { max-width: none; padding: 0 } }
"""

_RULES = """
.envdoc { color-scheme: light dark; background: var(--ground); color: var(--text); text-align: left;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere }
.envdoc * { box-sizing: border-box }
.envdoc h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .4rem; color: var(--verdict, var(--text)) }
.envdoc h2 { font-size: 1.1rem; line-height: 1.35; margin: .35rem 0 .3rem }
.envdoc h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; text-transform: capitalize }
.envdoc p { margin: .3rem 0; max-width: 70ch }
.envdoc header { border-bottom: 1px solid var(--line); padding-bottom: 1rem; margin-bottom: 1.25rem }
.envdoc dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .9rem; margin: .7rem 0 0;
  font-size: .9rem }
.envdoc dt { color: var(--dim) } .envdoc dd { margin: 0 }
.envdoc .filter { display: flex; flex-wrap: wrap; gap: .5rem; border: 0; padding: 0; margin: 0 0 1rem }
.envdoc .filter label { border: 1px solid var(--line); border-radius: 2rem; padding: .25rem .8rem; cursor: pointer;
  font-size: .9rem; background: var(--raised) }
.envdoc .filter label:focus-within { outline: 2px solid var(--info); outline-offset: 2px }
.envdoc .filter input { accent-color: var(--tone); margin: 0 .35rem 0 0; vertical-align: -.1em }
.envdoc .filter strong { color: var(--tone) }
.envdoc .error { --tone: var(--error) } .envdoc .warning { --tone: var(--warning) }
.envdoc .info { --tone: var(--info) } .envdoc .ok { --tone: var(--ok) } .envdoc .crashed { --tone: var(--crashed) }
.envdoc .suppressed { --tone: var(--dim) } .envdoc .skipped { --tone: var(--dim) }
.envdoc article { border: 1px solid var(--line); border-left: .3rem solid var(--tone); border-radius: .4rem;
  padding: .8rem 1.1rem .9rem; margin: 0 0 1rem; background: var(--raised) }
.envdoc .badge { color: var(--tone); font-size: .75rem; font-weight: 700; letter-spacing: .05em;
  text-transform: uppercase; white-space: nowrap }
.envdoc .dim { color: var(--dim) } .envdoc small { font-size: .85rem }
.envdoc code, .envdoc pre { font: .87rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.envdoc code { background: color-mix(in srgb, var(--line) 45%, transparent); border-radius: .25rem;
  padding: .08rem .3rem }
.envdoc pre { background: var(--ground); border: 1px solid var(--line); border-radius: .35rem; margin: .5rem 0 0;
  padding: .55rem .8rem; white-space: pre-wrap; user-select: all }
.envdoc ul { margin: .4rem 0; padding-left: 1.2rem } .envdoc li { margin: .1rem 0; white-space: pre-line }
.envdoc details { margin-top: 1.5rem } .envdoc summary { cursor: pointer; font-weight: 600; padding: .3rem 0 }
.envdoc table { width: 100%; border-collapse: collapse; font-size: .9rem }
.envdoc td, .envdoc th { border-top: 1px solid var(--line); padding: .35rem .6rem .35rem 0; vertical-align: top;
  text-align: left; font-weight: 400 }
.envdoc td:first-child { width: 5rem } .envdoc th { width: 5.5rem }
.envdoc:has(.filter .error input:not(:checked)) article.error { display: none }
.envdoc:has(.filter .warning input:not(:checked)) article.warning { display: none }
.envdoc:has(.filter .info input:not(:checked)) article.info { display: none }
@media (max-width: 40rem) {
.envdoc dl { grid-template-columns: 1fr; gap: 0 } .envdoc dt { margin-top: .4rem }
.envdoc article { padding: .7rem .8rem }
}
@media print {
.envdoc .filter { display: none }
.envdoc article { break-inside: avoid; background: none }
.envdoc details::details-content { content-visibility: visible; block-size: auto }
}
"""


def _variables(colours: Dict[str, str]) -> str:
    return "; ".join(f"--{name}: {value}" for name, value in colours.items())


STYLE = (
    f"\n.envdoc {{ {_variables(LIGHT)} }}\n"
    f"@media screen and (prefers-color-scheme: dark) {{\n.envdoc {{ {_variables(DARK)} }}\n}}"
    f"{_RULES}"
)
