"""The report of a run, and its charts: from a real run, and from one whose every text is hostile."""

import html
import json
import re
import sys

from browser import needs_browser, run

from envdoc.train import chart, curve, page
from envdoc.train.record import Record, read_record

HOSTILE = '<script>alert(1)</script><img src="http://127.0.0.1:9/x.png">'
MEASURE = """
addEventListener("load", () => {
  const told = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, root = page.documentElement;
    for (const details of page.querySelectorAll("details")) details.open = true;
    told[frame.id] = {
      overflow: root.scrollWidth - root.clientWidth, scripts: page.scripts.length, images: page.images.length,
      loaded: frame.contentWindow.performance.getEntriesByType("resource").length,
      headings: [...page.querySelectorAll("h2")].map(e => e.innerText), lines: page.querySelectorAll("polyline").length,
    };
  }
  document.body.textContent = JSON.stringify(told);
});
"""


def hostile():
    """A record of 3,000 updates, with evaluations, samples and every text a piece of HTML."""
    time = "2026-11-30T12:00:00.000+00:00"
    steps = [
        {
            "time": time,
            "kind": "step",
            "step": n,
            "loss": 3 / n,
            "seconds": 1.0,
            "tokens": 90,
            "learning_rate": 1e-4,
        }
        for n in range(1, 3001)
    ]
    steps[1999]["loss"] = "nan"
    other = [
        {
            "time": time,
            "kind": "start",
            "step": 0,
            "steps": 3000,
            "plan": [f"Data      {HOSTILE}"],
            "source": HOSTILE,
        },
        {"time": time, "kind": "resume", "step": 1500, "checkpoint": HOSTILE},
        {"time": time, "kind": "oom", "step": 1600, "micro_batch_was": 8, "micro_batch_is": 4},
        {"time": time, "kind": "eval", "step": 1000, "loss": 0.5},
        {"time": time, "kind": "eval", "step": 2000, "loss": 0.25},
        {"time": time, "kind": "sample", "step": 1000, "prompt": HOSTILE, "text": HOSTILE},
        {"time": time, "kind": "sample", "step": 2000, "prompt": HOSTILE, "text": "better"},
        {"time": time, "kind": "end", "outcome": "Diverged", "message": HOSTILE},
    ]
    return Record(HOSTILE, (*other[:1], *steps, *other[1:]), None, {"libraries": {"torch": HOSTILE}}, HOSTILE)


def test_the_report_of_a_proved_run(finished):
    """Verdict, settings, every check, where it ran, how to use it and to do it again."""
    text = html.unescape(re.sub(r"<[^>]+>", "", page.render(read_record(finished / "runs/default"))))

    assert (finished / "runs/default/report.html").read_text(encoding="utf-8") == page.render(
        read_record(finished / "runs/default")
    )
    for part in (
        "proved", "12 of 12", "11 of 11", "118 rows", "LoRA r=8", "fresh process", "logits equal the trained model's",
        "envdoc verify runs/default/adapter", "PeftModel.from_pretrained",
        "envdoc train runs/default/run.yaml name=again",
        "profile cpu, sha256 " + "ab" * 32, "transformers==", 'path: "tiny"',
    ):  # fmt: skip
        assert part in text, part


@needs_browser
def test_it_opens_from_the_disk_and_asks_for_nothing(finished, tmp_path):
    """In a browser, as wide as a telephone and as a laptop: every part, nothing sideways, nothing loaded or run."""
    pages = {
        f"{name}-{width}": (width, text)
        for width in (390, 1280)
        for name, text in (
            ("real", (finished / "runs/default/report.html").read_text(encoding="utf-8")),
            ("hostile", page.render(hostile())),
        )
    }
    frames = "".join(
        f'<iframe id="{name}" style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(text)}"></iframe>'
        for name, (width, text) in pages.items()
    )
    (tmp_path / "outer.html").write_text(
        f"<!doctype html><meta charset=utf-8><body>{frames}<script>{MEASURE}</script>", encoding="utf-8"
    )

    done = run(tmp_path, "--dump-dom", "--window-size=1400,1000", f"file://{tmp_path}/outer.html")

    told = json.loads(html.unescape(re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL).group(1)))
    assert [] == re.findall(r"CONSOLE.*", done.stderr)
    for name, seen in told.items():
        measures = {key: seen[key] for key in ("overflow", "scripts", "images", "loaded")}
        assert {"overflow": 0, "scripts": 0, "images": 0, "loaded": 0} == measures, name
    assert [
        "Loss", "What was trained, and on what", "Proof that the adapter is what was trained", "How to use it",
        "How to repeat it", "What happened", "With what",
    ] == told["real-1280"]["headings"]  # fmt: skip
    assert "Samples" in told["hostile-390"]["headings"]
    assert 5 == told["hostile-390"]["lines"]  # loss, its average, held-out loss, speed, learning rate


def test_a_spike_is_never_thinned_out():
    """Of many points the extremes of each stretch stay, so that one bad update among 100,000 is seen."""
    points = [(float(n), 99.0 if n == 51_234 else 1.0) for n in range(100_000)]

    kept = chart.thin(points)

    assert chart.MOST_POINTS >= len(kept) and (51_234.0, 99.0) in kept


def test_ticks_are_round_and_enclose_the_values():
    """Whatever the range, the labels are numbers that people read."""
    assert [7.1, 7.2, 7.3, 7.4, 7.5, 7.6] == chart.ticks(7.12, 7.57, 5)
    assert [0, 0.005, 0.01] == chart.ticks(0.0, 0.01, 3)
    assert [3.0] == chart.ticks(3.0, 3.0, 5)
    assert ["0", "0.005", "1.0e-05", "12,000", "1.2M"] == [
        chart.number(n) for n in (0, 0.005, 1e-5, 12_000, 1.2e6)
    ]


def test_without_matplotlib_the_curve_is_drawn_as_svg(tmp_path, monkeypatch):
    """The library is no need of training: the picture is there, and what was missing is said."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    path, note = curve.draw([(1, 3.0), (2, 2.0), (3, float("nan")), (4, 1.0)], tmp_path, "a title")

    assert "loss.svg" == path.name and "matplotlib is not installed" in note
    drawn = path.read_text(encoding="utf-8")
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"') and "nan" not in drawn
