"""The tables of a measurement, and their place in a page between two markers."""

import json
from pathlib import Path
from typing import Any, Dict

from bench_train.shapes import SHAPES

BEGIN, END = "<!-- bench-train: {name} -->", "<!-- bench-train ends -->"
HEAD = (
    "| recipe | useful tokens/s | of the matrix rate, short / sustained | peak GiB | loss, first and last update | "
    "judged rows, before and after |"
)


def share(row: Dict[str, Any], tflops: float) -> float:
    """Of the measured rate, at four operations a weight and token: two forward, two back; the base is frozen."""
    return speed(row) * 4 * SHAPES[row["shape"]].weights / (tflops * 1e12)


def speed(row: Dict[str, Any]) -> float:
    """Useful tokens a second."""
    return float(row["tokens"]) / float(row["seconds"])


def said(row: Dict[str, Any]) -> str:
    """One row, for the terminal, while the others wait."""
    if "problem" in row:
        return f"{row['name']}: {row['problem']}"
    return (
        f"{row['name']}: {speed(row):,.0f} tokens/s, {row.get('peak_gib', 0):.2f} GiB, loss {row['losses'][-1]:.4f}, "
        f"judged {row['judged']} ({row['whole_seconds']:.0f} s in all)"
    )


def table(found: Dict[str, Any]) -> str:
    """Every recipe, a line each."""
    lines = [HEAD, "|---|---|---|---|---|---|"]
    matmul = found.get("matmul", {})
    rates = [matmul[name] for name in ("short_tflops", "sustained_tflops") if name in matmul]
    for row in found["rows"]:
        if "problem" in row:
            lines.append(f"| {row['title']} | {row['problem']} | | | | |")
            continue
        of = " / ".join(f"{share(row, rate):.0%}" for rate in rates) if found["shape"] != "tiny" else ""
        peak = f"{row['peak_gib']:.1f}" if "peak_gib" in row else ""
        waits = f"; the GPU waits {row['waits']:.1%} of the time" if "waits" in row else ""
        halved = f"; out of memory, halved {row['halvings']} times" if row.get("halvings") else ""
        judged = " to ".join("?" if loss is None else f"{loss:.3f}" for loss in row["judged"])
        lines.append(
            f"| {row['title']}{waits}{halved} | {speed(row):,.0f} | {of} | {peak} | "
            f"{row['losses'][0]:.3f} to {row['losses'][-1]:.3f} | {judged} |"
        )
    return "\n".join(lines) + "\n"


def about(found: Dict[str, Any]) -> str:
    """On what, with what and how it was measured."""
    lines = [f"`{found['command']}`, {found['date']}."]
    if found.get("free_gib"):
        lines.append(f"Another process held all of the GPU but {found['free_gib']:g} GiB.")
    gpu = found["machine"]["gpu"]
    if gpu:
        lines.append(
            f"{gpu['name']}, {gpu['memory.total']}, driver {gpu['driver_version']}, at most {gpu['clocks.max.sm']} and "
            f"{gpu['power.limit']}; {found['machine']['cores']} cores."
        )
    else:
        lines.append(f"A CPU with {found['machine']['cores']} cores.")
    versions = dict(found.get("versions", {}))
    for row in found["rows"]:
        versions.update({name: version for name, version in row.get("versions", {}).items() if version})
    lines.append(", ".join(f"{name} {version}" for name, version in versions.items() if version) + ".")
    matmul = found.get("matmul")
    if matmul and "short_tflops" in matmul:
        shape = "x".join(map(str, matmul["shape"]))
        lines.append(
            f"bf16 products {shape}: {matmul['short_tflops']:.0f} TFLOP/s in short bursts, "
            f"{matmul['sustained_tflops']:.0f} over {matmul['seconds']:.0f} s without a pause{_clocks(matmul)}."
        )
    clocked = [(row["name"], _clocks(row)) for row in found["rows"] if "clocks" in row]
    if clocked:
        lines.append(
            "Medians while it was timed: " + "; ".join(f"{name}{told}" for name, told in clocked) + "."
        )
    return "\n".join(lines) + "\n"


def plan(found: Dict[str, Any]) -> str:
    """How the automatic plan stands to the best of the grid; empty where either was not measured."""
    done = {row["name"]: row for row in found["rows"] if "problem" not in row}
    tried = [row for name, row in done.items() if name.startswith("envdoc-find-") and not row.get("halvings")]
    if "envdoc-auto" not in done or not tried:
        return ""
    best, chosen = max(tried, key=speed), done["envdoc-auto"]
    return (
        f"The plan by itself: {speed(chosen):,.0f} tokens/s; the best by hand, {best['title']}: {speed(best):,.0f}. "
        f"The plan reaches {speed(chosen) / speed(best):.1%} of it. What it said:\n\n```\n{_told(chosen)}\n```\n"
    )


def keep(found: Dict[str, Any], out: Path) -> None:
    """Write what there is so far."""
    (out / "table.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "table.md").write_text(text(found))


def text(found: Dict[str, Any]) -> str:
    """Everything of one measurement."""
    return "\n".join(part for part in (about(found), table(found), plan(found)) if part)


def into(page: Path, found: Dict[str, Any]) -> None:
    """Lay the tables between the page's markers: `find` for a grid, else `recipes`."""
    name = "find" if any(row["name"].startswith("envdoc-find-") for row in found["rows"]) else "recipes"
    begin = BEGIN.format(name=name)
    before, found_it, rest = page.read_text().partition(begin)
    if not found_it:
        raise SystemExit(f"`{page}` has no line `{begin}`.")
    page.write_text(f"{before}{begin}\n{text(found)}{END}{rest.partition(END)[2]}")


def _told(row: Dict[str, Any]) -> str:
    """What a run said of itself, but for the line with the folder that its base lay in."""
    return "\n".join(line for line in row.get("told", ()) if not line.startswith("Model "))


def _clocks(result: Dict[str, Any]) -> str:
    if "clocks" not in result:
        return ""
    clocks: Dict[str, float] = result["clocks"]
    active = result.get("engine_active")
    counted = "" if active is None else f", the engine at work {active:.1%} of the time"
    return f" ({clocks['sm_mhz']:.0f} MHz, {clocks['watts']:.0f} W{counted})"
