"""report.html: a run on one page that opens from the disk. No script, no font, no request; everything is escaped."""

import re
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.train import page_charts, usage
from envdoc.train.page_style import STYLE
from envdoc.train.private import private
from envdoc.train.record import Record, read_record

NAME = "report.html"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
ENDS = {  # how a run ended without a proved adapter: the badge, and its tone
    "not real": ("not real", "bad"),
    "Diverged": ("diverged", "bad"),
    "Interrupted": ("stopped", "open"),
    "KeyboardInterrupt": ("stopped", "open"),
}
QUIET = ("step", "eval", "sample")  # told elsewhere on the page
MOST_EVENTS = 200
_CODE = re.compile(r"`([^`\n]+)`")


def write(folder: Path) -> Path:
    """Write the report of the run in that folder, from its files. Raises OSError, ValueError."""
    path = folder / NAME
    partial = folder / f".{NAME}"
    partial.write_text(render(read_record(folder)), encoding="utf-8")
    partial.replace(path)
    return path


def render(record: Record) -> str:
    """The page as text."""
    word, tone = verdict(record)
    title = f"{record.name}: {word}"
    body = "\n".join(part for part in (_main(record)) if part)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{STYLE}</style></head>
<body>
<header><span class="verdict {tone}">{escape(word)}</span><h1>{escape(record.name)}</h1>
{_lead(record)}
{_tiles(record)}</header>
<main>
{body}
</main></body></html>
"""


def verdict(record: Record) -> Tuple[str, str]:
    """The run in a word, and the tone of it: good, bad or open."""
    outcome = record.end.get("outcome")
    if outcome == "proved" and record.receipt is not None:
        return "proved", "good"
    if outcome is None:
        return "unfinished", "open"
    return ENDS.get(outcome, ("failed", "bad"))


def _lead(record: Record) -> str:
    end, start = record.end, record.start
    lines = []
    if end.get("message"):
        lines.append(_text(end["message"]))
    elif not end:
        lines.append("It was ended from outside, or it still goes on: there is no word of its end.")
    if start.get("time"):
        lines.append(f"Started {_when(start['time'])}" + (f", ended {_when(end['time'])}." if end else "."))
    return "".join(f'<p class="{"dim" if place else ""}">{line}</p>' for place, line in enumerate(lines))


def _tiles(record: Record) -> str:
    steps = record.of("step")
    if not steps:
        return ""
    seconds = sum(step["seconds"] for step in steps)
    tokens = sum(step["tokens"] for step in steps)
    training = (record.receipt or {}).get("training", {})
    peak = training.get("peak_bytes") or record.end.get("peak_bytes")
    total = record.start.get("steps")
    tiles = [
        (f"{_loss(steps[0])} → {_loss(steps[-1])}", "loss, first and last update"),
        (f"{steps[-1]['step']:,}" + (f" of {total:,}" if total else ""), "updates"),
        (_duration(seconds), "of training" + _waited(steps, seconds)),
        (f"{tokens / seconds:,.0f}" if seconds else "?", "tokens a second, padding not counted"),
        (f"{tokens:,}", "tokens seen"),
    ]
    if peak:
        tiles.append((_gib(peak), f"at most, of {training.get('peak_bytes_of') or 'memory'}"))
    if record.receipt:
        checks = record.receipt["proof"]["checks"]
        good = sum(check["ok"] is True for check in checks)
        tiles.append((_megabytes(record.receipt["adapter"]["bytes"]), "the adapter's file"))
        tiles.append((f"{good} of {len(checks)}", "checks of the proof are ok"))
    return (
        '<ul class="tiles">'
        + "".join(
            f"<li><strong>{escape(value)}</strong><span>{escape(name)}</span></li>" for value, name in tiles
        )
        + "</ul>"
    )


def _waited(steps: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """How much of it was waiting for data; nothing in runs of before that was measured."""
    waited = [step["data_wait_seconds"] for step in steps if "data_wait_seconds" in step]
    return f", {100 * sum(waited) / seconds:.1f}% waiting for data" if waited and seconds else ""


def _loss(step: Mapping[str, Any]) -> str:
    loss = step["loss"]
    return f"{loss:.3f}" if isinstance(loss, float) else str(loss)


def _main(record: Record) -> List[str]:
    return [
        *page_charts.figures(record),
        _plan(record),
        _proof(record),
        _samples(record),
        _use(record),
        _repeat(record),
        _happened(record),
        _environment(record),
    ]


def _plan(record: Record) -> str:
    """The plan as it was printed: each line begins with the name of its section, or goes on with the one before."""
    rows: List[Tuple[str, str]] = []
    for line in record.start.get("plan", []):
        name, text = line[:10].strip(), line[10:].strip()
        if name or not rows:
            rows.append((name, _text(text)))
        else:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]}<br>{_text(text)}")
    return f"<h2>What was trained, and on what</h2>{_table(rows)}" if rows else ""


def _proof(record: Record) -> str:
    checks = ((record.receipt or {}).get("proof") or {}).get("checks", [])
    if not checks:
        return ""
    words = {True: ("ok", "good"), False: ("fail", "bad"), None: ("open", "open")}
    rows = "".join(
        f'<tr class="{words[check["ok"]][1]}"><td class="narrow"><span class="badge">{words[check["ok"]][0]}</span>'
        f'</td><th scope="row">{escape(check["name"])}</th><td>{_text(check["detail"])}</td></tr>'
        for check in checks
    )
    return (
        "<h2>Proof that the adapter is what was trained</h2>"
        f"<table>{rows}</table><p class='dim'>The same again, anywhere: <code>envdoc verify</code>.</p>"
    )


def _samples(record: Record) -> str:
    """What the model answered on the way: for each question the last answer, and earlier ones folded away."""
    by_prompt: Dict[str, List[Mapping[str, Any]]] = {}
    for event in record.of("sample"):
        by_prompt.setdefault(str(event.get("prompt", "")), []).append(event)
    if not by_prompt:
        return ""
    parts = ["<h2>Samples</h2>"]
    for prompt, answers in by_prompt.items():
        *before, last = answers
        older = "".join(f"<p class='dim'>update {one['step']:,}</p>{_quote(one)}" for one in reversed(before))
        parts.append(
            f"<h3>{escape(prompt)}</h3><p class='dim'>update {last['step']:,}</p>{_quote(last)}"
            + (f"<details><summary>{len(before)} before</summary>{older}</details>" if before else "")
        )
    return "".join(parts)


def _quote(sample: Mapping[str, Any]) -> str:
    return f"<blockquote>{escape(str(sample.get('text', '')))}</blockquote>"


def _use(record: Record) -> str:
    if record.receipt is None:
        return ""
    adapter = str(record.start.get("adapter") or "adapter")
    lines = [f"{command}    # {what}" for command, what in usage.commands(adapter)]
    return (
        "<h2>How to use it</h2>"
        f"<pre>{escape(chr(10).join(lines))}</pre>"
        f"<p>In Python, with peft:</p><pre>{escape(usage.python(adapter, record.receipt['base']['path']))}</pre>"
    )


def _repeat(record: Record) -> str:
    start, lock = record.start, record.environment.get("lockfile")
    data, base = start.get("data") or {}, start.get("base") or {}
    rows = [
        ("Command", f"<code>{escape(str(start.get('again', 'envdoc train run.yaml')))}</code>"),
        ("Lockfile", _lock(lock)),
        ("Data", f"sha256 <code>{escape(str(data.get('sha256', '?')))}</code>"),
        ("Base model", f"fingerprint <code>{escape(str(base.get('fingerprint', '?')))}</code>"),
        ("Settings from", _text(str(start.get("source", "?")))),
    ]
    file = f"<details><summary>run.yaml</summary><pre>{escape(record.run_file)}</pre></details>"
    return f"<h2>How to repeat it</h2>{_table(rows)}{file if record.run_file else ''}"


def _lock(lock: Optional[Mapping[str, Any]]) -> str:
    if not lock:
        return "none: the environment was not built by <code>envdoc fix</code>"
    return f"profile <code>{escape(str(lock['profile']))}</code>, sha256 <code>{escape(str(lock['sha256']))}</code>"


def _happened(record: Record) -> str:
    told = [event for event in record.happened if event["kind"] not in QUIET]
    rows = [
        (f"{_when(event['time'])}", f"<strong>{escape(event['kind'])}</strong> {_text(_words(event))}")
        for event in told[-MOST_EVENTS:]
    ]
    dropped = len(told) - len(rows)
    note = f"<p class='dim'>{dropped} earlier ones are in events.jsonl.</p>" if dropped else ""
    return (
        f"<h2>What happened</h2><details><summary>{len(rows)} events</summary>{note}{_table(rows)}</details>"
    )


def _words(event: Mapping[str, Any]) -> str:
    """An event's values but those that stand elsewhere on the page."""
    shown = {
        key: value
        for key, value in event.items()
        if key not in ("time", "kind") and not isinstance(value, (dict, list))
    }
    return ", ".join(f"{key} {_short(value)}" for key, value in shown.items())


def _environment(record: Record) -> str:
    told = record.environment
    if not told:
        return ""
    driver = told.get("driver") or {}
    gpu = told.get("gpu")
    rows = [
        ("GPU", escape(f"{gpu} (compute capability {told.get('gpu_capability')})" if gpu else "none")),
        ("Driver", escape(str(driver.get("version") or "not told"))),
        ("Python", escape(f"{told.get('python')} on {told.get('platform')}")),
        *((name, escape(str(version))) for name, version in (told.get("libraries") or {}).items() if version),
    ]
    everything = told.get("distributions") or {}
    listed = "\n".join(f"{name}=={version}" for name, version in everything.items())
    return (
        f"<h2>With what</h2>{_table(rows)}<details><summary>{len(everything)} distributions</summary>"
        f"<pre>{escape(listed)}</pre></details>"
    )


def _table(rows: List[Tuple[str, str]]) -> str:
    """Names as they are, values as HTML."""
    return (
        "<table>"
        + "".join(f'<tr><th scope="row">{escape(name)}</th><td>{value}</td></tr>' for name, value in rows)
        + "</table>"
    )


def _text(text: str) -> str:
    """Escaped, with what stands between backticks as code; names and secrets out."""
    return _CODE.sub(r"<code>\1</code>", escape(str(private(text))))


def _when(time: str) -> str:
    return escape(time[:19].replace("T", " ") + " UTC")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
