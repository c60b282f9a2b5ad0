"""How the report of a run looks: one style sheet, no font, no image, no script.

Text keeps a contrast of at least 4.5 to its ground (WCAG 2.1, 1.4.3) in both colour schemes.
"""

LIGHT = (
    "--ground: #ffffff; --raised: #f6f8fa; --line: #d1d9e0; --text: #1f2328; --dim: #57606a; --accent: #0550ae; "
    "--good: #116329; --bad: #b3181f; --open: #7d4e00; --second: #8250df"
)
DARK = (
    "--ground: #0d1117; --raised: #161b22; --line: #30363d; --text: #e6edf3; --dim: #9198a1; --accent: #79c0ff; "
    "--good: #56d364; --bad: #ff7b72; --open: #e3b341; --second: #d2a8ff"
)

STYLE = f"""
:root {{ color-scheme: light dark; {LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0; background: var(--ground); color: var(--text); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }}
body > * {{ max-width: 62rem; margin-inline: auto; padding-inline: 1.25rem }}
header {{ padding-top: 2rem }}
main {{ padding-bottom: 4rem }}
h1 {{ font-size: 1.7rem; line-height: 1.25; margin: .3rem 0 .4rem }}
h2 {{ font-size: 1.15rem; margin: 2.4rem 0 .7rem; padding-top: .4rem; border-top: 1px solid var(--line) }}
h3 {{ font-size: .95rem; margin: 1.1rem 0 .3rem }}
p {{ margin: .4rem 0; max-width: 72ch }}
.dim {{ color: var(--dim) }}
.good {{ --tone: var(--good) }} .bad {{ --tone: var(--bad) }} .open {{ --tone: var(--open) }}
.verdict, .badge {{ color: var(--tone); font-weight: 700; letter-spacing: .05em; text-transform: uppercase }}
.verdict {{ display: inline-block; font-size: .85rem; border: 1.5px solid var(--tone); border-radius: 2rem;
  padding: .15rem .8rem }}
.badge {{ font-size: .75rem; white-space: nowrap }}
.tiles {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: .7rem; margin: 1.2rem 0 0;
  padding: 0; list-style: none }}
.tiles li {{ background: var(--raised); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem }}
.tiles strong {{ display: block; font-size: 1.15rem; line-height: 1.35; font-variant-numeric: tabular-nums }}
.tiles span {{ color: var(--dim); font-size: .82rem }}
figure {{ margin: .6rem 0 0; background: var(--raised); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem .6rem .4rem }}
figcaption {{ font-size: .85rem; color: var(--dim); padding: 0 .4rem .3rem }}
.small {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0 .7rem }}
svg {{ display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif }}
svg .a, svg .b, svg .c {{ fill: none; stroke-linejoin: round }}
svg .a {{ stroke: var(--accent); stroke-opacity: .38 }}
svg .b {{ stroke: var(--accent); stroke-width: 2 }}
svg .c {{ stroke: var(--second); stroke-width: 2 }}
svg .dot.b, svg .dot.a {{ fill: var(--accent) }} svg .dot.c {{ fill: var(--second) }}
svg .grid {{ stroke: var(--line) }}
svg .axis {{ fill: var(--dim) }}
svg .mark {{ stroke: var(--open); stroke-dasharray: 3 3; stroke-width: 1.5 }}
svg .hover rect {{ fill: transparent }} svg .hover rect:hover {{ fill: var(--accent); fill-opacity: .14 }}
.key {{ display: inline-block; width: 1.3em; height: 0; border-top: 2.5px solid; vertical-align: .3em;
  margin: 0 .3em 0 .9em }}
.key:first-child {{ margin-left: 0 }}
.key.a {{ color: var(--accent); opacity: .5 }} .key.b {{ color: var(--accent) }} .key.c {{ color: var(--second) }}
.key.mark {{ color: var(--open); border-top-style: dashed }}
table {{ width: 100%; border-collapse: collapse; font-size: .92rem }}
td, th {{ border-top: 1px solid var(--line); padding: .4rem .8rem .4rem 0; vertical-align: top; text-align: left;
  font-weight: 400 }}
tr:first-child > * {{ border-top: 0 }}
th {{ width: 9.5rem; color: var(--dim) }}
td.narrow {{ width: 4.5rem }}
code, pre {{ font: .87rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }}
code {{ background: color-mix(in srgb, var(--line) 45%, transparent); border-radius: .25rem; padding: .08rem .3rem }}
pre {{ background: var(--raised); border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem;
  margin: .5rem 0; white-space: pre-wrap; overflow-x: auto }}
details {{ margin: .8rem 0 0 }}
summary {{ cursor: pointer; font-weight: 600; font-size: .95rem; padding: .2rem 0 }}
blockquote {{ margin: .5rem 0 .9rem; padding: .1rem .9rem; border-left: 3px solid var(--line); white-space: pre-wrap }}
@media (max-width: 40rem) {{ th {{ width: 6.5rem }} .tiles {{ grid-template-columns: 1fr 1fr }} }}
@media print {{ figure, tr {{ break-inside: avoid }}
  details::details-content {{ content-visibility: visible; block-size: auto }} }}
"""
