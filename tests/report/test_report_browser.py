"""The HTML report in a real browser: what it shows, and what it must not do."""

import html
import json
import re

import pytest
from browser import needs_browser, run
from report_samples import HOSTILE, LARGE, ROOT, judged

from envdoc.doctor.report import html_style, renderer

pytestmark = needs_browser
# The page under test is an iframe, since a window of 390 pixels is narrower than Chromium allows; what is seen in it
# is written into the outer page, which is then dumped.
MEASURE = """
addEventListener("load", () => {
  const told = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
    const text = name => [...page.querySelectorAll(name)].map(e => e.innerText.trim());
    const shown = name => [...page.querySelectorAll(name)].filter(e => e.checkVisibility()).length;
    const seen = {
      findings: text("article h2"), codes: text("article > code"), commands: text("article pre"),
      scripts: page.scripts.length, images: page.images.length, h1: text("h1"),
      overflow: root.scrollWidth - root.clientWidth, width: view.innerWidth,
      loaded: view.performance.getEntriesByType("resource").map(e => e.name),
      ground: view.getComputedStyle(page.querySelector(".envdoc")).backgroundColor,
      rows: page.querySelectorAll("details tr").length, open: shown("details tr"),
    };
    for (const details of page.querySelectorAll("details")) details.open = true;
    seen.opened = shown("details tr");
    seen.overflow_opened = root.scrollWidth - root.clientWidth;
    const box = page.querySelector(".filter .error input");
    if (box) {
      seen.before = shown("article.error"); box.click(); seen.after = shown("article.error");
      seen.others = shown("article:not(.error)");
    }
    told[frame.id] = seen;
  }
  document.body.textContent = JSON.stringify(told);
});
"""


def browse(folder, pages, *flags):
    """What the browser saw of each page ({name: (width, html)}), and its console."""
    frames = "".join(
        f'<iframe id="{name}" style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(text)}"></iframe>'
        for name, (width, text) in pages.items()
    )
    (folder / "outer.html").write_text(
        f"<!doctype html><meta charset=utf-8><body>{frames}<script>{MEASURE}</script>", encoding="utf-8"
    )
    done = run(folder, "--dump-dom", "--window-size=1400,1000", *flags, f"file://{folder}/outer.html")
    body = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    assert body, done.stderr
    return json.loads(html.unescape(body.group(1))), re.findall(r"CONSOLE.*", done.stderr)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Three reports at the width of a telephone and of a laptop, all in one start of the browser."""
    reports = {
        "machine": judged(ROOT / "tests/snapshots/gtx1080-driver470.json"),
        "hostile": HOSTILE,
        "large": LARGE,
    }
    pages = {
        f"{name}-{width}": (width, renderer("html")(report))
        for name, report in reports.items()
        for width in (390, 1280)
    }
    told, console = browse(tmp_path_factory.mktemp("browser"), pages)
    return reports, told, console


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["machine", "hostile", "large"])
def test_it_shows_every_finding_and_nothing_sideways(name, width, seen):
    """Each finding is rendered, worst first; nothing is wider than the window; nothing was loaded from anywhere."""
    reports, told, console = seen
    page, failures = told[f"{name}-{width}"], reports[name].failures

    assert width == page["width"]
    assert [c.code for c in (*failures, *reports[name].crashed)] == page["codes"]
    assert [bare(c.title) for c in failures] == [bare(title) for title in page["findings"][: len(failures)]]
    assert [command for c in failures for command in c.fix.commands] == [
        line for block in page["commands"] for line in block.splitlines()
    ]
    assert (0, 0) == (page["overflow"], page["overflow_opened"])
    assert (0, 0, []) == (page["scripts"], page["images"], page["loaded"])
    assert [] == console


@pytest.mark.parametrize("name", ["machine", "large"])
def test_it_can_be_filtered_and_unfolded_without_a_script(name, seen):
    """A click hides one severity and leaves the others; the passing checks wait behind one line."""
    reports, told, _ = seen
    page = told[f"{name}-1280"]
    errors = len([c for c in reports[name].failures if c.severity.value == "error"])

    assert (errors, 0) == (page["before"], page["after"])
    assert page["others"] == len(reports[name].failures) - errors > 0
    assert (0, page["rows"]) == (page["open"], page["opened"])


def test_a_page_that_loads_something_would_be_seen(tmp_path):
    """The measure works: an image from the network is stopped by the page's own policy, and told on the console."""
    page = renderer("html")(HOSTILE).replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">')

    told, console = browse(tmp_path, {"page": (800, page)})

    assert 1 == told["page"]["images"]
    assert "Content Security Policy" in console[0]


def test_dark_where_the_system_is_dark(tmp_path, seen):
    """The colour scheme of the system decides, and both are drawn."""
    page = renderer("html")(HOSTILE)
    dark, _ = browse(tmp_path, {"page": (800, page)}, "--blink-settings=preferredColorScheme=0")

    assert rgb(html_style.LIGHT["ground"]) == seen[1]["hostile-1280"]["ground"]
    assert rgb(html_style.DARK["ground"]) == dark["page"]["ground"]


def test_it_can_be_printed(tmp_path):
    """A PDF comes out with some pages."""
    (tmp_path / "page.html").write_text(renderer("html")(HOSTILE), encoding="utf-8")

    run(tmp_path, f"--print-to-pdf={tmp_path}/page.pdf", f"file://{tmp_path}/page.html")
    pdf = (tmp_path / "page.pdf").read_bytes()

    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 1


def bare(title):
    """A title without backticks, between which it becomes code, and with single spaces."""
    return " ".join(title.replace("`", "").split())


def rgb(colour):
    """`#0d1117` as a browser says it."""
    return "rgb({}, {}, {})".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))
