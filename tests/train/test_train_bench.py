"""scripts/bench-train: what its tables say of what was measured; recipes of two libraries do one work."""

import json
import subprocess
from pathlib import Path

import pytest

from bench_train import tables
from bench_train.recipes import every, grid
from bench_train.shapes import SHAPES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def found():
    """A measurement of two recipes, of which one failed."""
    done = {
        "name": "one",
        "title": "the first",
        "shape": "7b",
        "tokens": 40000,
        "seconds": 2.0,
        "peak_gib": 45.84,
    }
    done.update(losses=[11.25, 10.5], judged=[11.2, None], waits=0.0123, whole_seconds=9)
    return {
        "command": "scripts/bench-train OUT",
        "date": "today",
        "shape": "full",
        "machine": {"gpu": None, "cores": 2},
        "matmul": {
            "short_tflops": 755.0,
            "sustained_tflops": 700.0,
            "seconds": 4.0,
            "shape": [8192, 4096, 11008],
        },
        "rows": [done, {"name": "two", "title": "the second", "problem": "OutOfMemoryError: full"}],
    }


def test_the_share_of_the_matrix_rate(found):
    """755 TFLOP/s are 28.6 thousand tokens a second on Llama-2-7B's shape, as in the measurements of 2026-11-23."""
    assert 6_607_077_376 == SHAPES["7b"].weights
    assert pytest.approx(20000 / 28567, rel=1e-3) == tables.share(found["rows"][0], 755.0)


def test_a_table_tells_what_failed(found):
    """Every recipe has its line; one that was not measured has no figure."""
    lines = tables.table(found).splitlines()

    assert (
        "| the first; the GPU waits 1.2% of the time | 20,000 | 70% / 76% | 45.8 | 11.250 to 10.500 | 11.200 to ? |"
        == lines[2]
    )
    assert "| the second | OutOfMemoryError: full | | | | |" == lines[3]


def test_tables_are_laid_into_a_page(found, tmp_path):
    """Only what stands between the markers is replaced, however often."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench-train: recipes -->\nold\n<!-- bench-train ends -->\nafter\n")
    tables.into(page, found)
    tables.into(page, found)

    text = page.read_text()
    assert text.startswith("before\n<!-- bench-train: recipes -->\n`scripts/bench-train OUT`, today.\n")
    assert text.endswith("<!-- bench-train ends -->\nafter\n")
    assert 1 == text.count("the second") and "old" not in text


def test_the_plan_beside_the_best_by_hand(found):
    """The page says how near the automatic plan comes."""
    best, worse, chosen = (
        {**found["rows"][0], "name": name, "title": name, "tokens": tokens}
        for name, tokens in (("envdoc-find-a", 40000), ("envdoc-find-b", 30000), ("envdoc-auto", 39000))
    )
    assert "The plan reaches 97.5% of it." in tables.plan({**found, "rows": [best, worse, chosen]})
    assert "" == tables.plan(found)


def test_the_page_names_recipes_that_exist():
    """docs/performance.md asks for recipes by name, and has both pairs of markers; no two recipes share a name."""
    page = (ROOT / "docs" / "performance.md").read_text()
    names = [recipe.name for recipe in [*every(), *grid()]]

    assert len(names) == len(set(names))
    assert {"seed", "envdoc-bf16-8k"} <= set(names) and "--only seed envdoc-bf16-8k" in page
    assert all(tables.BEGIN.format(name=name) in page for name in ("recipes", "find"))


def test_the_longest_gaps_are_named(inside, tmp_path):
    """Of kernels that overlap, what ended last and what began next, longest first; copies count as work."""
    text = """
import json
from envdoc.train.idle import gaps, work_between
kinds = [("a", "kernel", 0, 10), ("b", "kernel", 2, 20), ("c", "gpu_memcpy", 25, 5), ("d", "kernel", 130, 1)]
kinds += [("x", "cpu_op", 40, 90), ("spin_kernel", "kernel", -1, 1), ("spin_kernel", "kernel", 131, 1)]
trace = {"traceEvents": [dict(name=n, cat=c, ph="X", ts=t, dur=d) for n, c, t, d in kinds]}
print(json.dumps(gaps(work_between(trace))))
"""
    assert [[1e-4, "c", "d"], [3e-6, "b", "c"]] == inside(tmp_path, text)


COUNTED = """
import contextlib, io, json, sys, types
import torch
sys.path.insert(0, ROOT + "/scripts")
from bench_train.engine import Engine

with contextlib.redirect_stdout(io.StringIO()) as said:
    without = Engine().share()
freed, metric = [], types.SimpleNamespace(metricId=0, nvmlReturn=0, value=98.5)
fake = types.SimpleNamespace(
    nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda uuid: uuid, nvmlGpmSampleAlloc=lambda: object(),
    nvmlGpmQueryDeviceSupport=lambda device: types.SimpleNamespace(isSupportedDevice=supported),
    nvmlGpmSampleGet=lambda device, sample: sample, nvmlGpmSampleFree=freed.append,
    c_nvmlGpmMetricsGet_t=lambda: types.SimpleNamespace(metrics=[metric]), NVML_GPM_METRICS_GET_VERSION=1,
    NVML_GPM_METRIC_GRAPHICS_UTIL=1, nvmlGpmMetricsGet=lambda asked: asked)
sys.modules["pynvml"] = fake
torch.cuda.get_device_properties = lambda number: types.SimpleNamespace(uuid="1")
supported = 1
told = [Engine().share()]
metric.nvmlReturn = 3
told.append(Engine().share())
supported = 0
told.append(Engine().share())
print(json.dumps([without, said.getvalue()[:35], told, len(freed)]))
"""


def test_the_cards_own_counter_is_told_where_there_is_one(inside, tmp_path):
    """The share between two samples; nothing, and no fault, without a GPU, or for a card that counts nothing."""
    without, said, told, freed = inside(tmp_path, f"ROOT = {str(ROOT)!r}" + COUNTED)

    assert without is None and "The engine's counter is not read: " == said[:34]
    assert [0.985, None, None] == told
    assert 4 == freed


@pytest.mark.slow
def test_envdoc_and_a_peer_do_the_same_work(patient, tmp_path):
    """On a CPU, tiny: both recipes are measured, begin with the same 4-bit base, and keep their updates' losses."""
    command = [patient, ROOT / "scripts" / "bench-train", tmp_path, "--shape", "tiny", "--work", tmp_path]
    only = ["--only", "envdoc-nf4-8k-ckpt", "trainer-nf4"]
    done = subprocess.run(
        list(map(str, [*command, *only])), capture_output=True, text=True, timeout=400, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    ours, theirs = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert pytest.approx(ours["judged"][0], abs=1e-3) == theirs["judged"][0]
    assert 3 == len(ours["losses"]) and min(ours["tokens"], theirs["tokens"]) > 0
    assert "Trainer + peft" in (tmp_path / "table.md").read_text()
