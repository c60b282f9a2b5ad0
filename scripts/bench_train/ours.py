"""envdoc's own recipes, through its own pipeline: run file, adapter, fast path, trainer, loop.

Two things come from elsewhere: the base's weights (made.py) and the rows, which are random tokens in envdoc's own
token store instead of texts. What follows the training (proof, receipt) is left out; it has its own measurements.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List
from unittest import mock

import numpy

from bench_train import made, marks, matmul, work
from bench_train.recipes import ALL, ALPHA, RATE, SEED, Recipe
from bench_train.shapes import SHAPES, rows_for

SAID = 12  # of the longest gaps
IDLE_UPDATES = 10  # under the profiler, of which one is said and waited for


class Measurer:
    """Runs recipes in this process; the libraries are loaded when it is made."""

    def __init__(self, place: Path, shrink: int) -> None:
        from envdoc.train.libraries import load_libraries

        load_libraries()
        self.place, self.shrink = place, shrink

    def __call__(self, recipe: Recipe) -> Dict[str, Any]:
        from envdoc.train import pipeline, plan, runfile
        from envdoc.train.events import Events
        from envdoc.train.fit import fit
        from envdoc.train.idle import BEFORE, IdleWatch
        from envdoc.train.ready import Asked

        mark = marks.Marks(recipe.warm, recipe.timed)
        skipped = mark.steps + 1 + BEFORE  # the first one after those that are timed starts from a standstill
        watch = IdleWatch(skipped, IDLE_UPDATES) if recipe.idle and matmul.device().type == "cuda" else None
        updates = skipped + IDLE_UPDATES if watch else mark.steps
        base = made.folder_of(recipe.shape, self.place)
        settings, source = runfile.load(None, [*_words(recipe, base, updates), *recipe.words], here=False)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=str(self.place)))
        device, vocabulary = matmul.device(), SHAPES[recipe.shape].vocabulary
        count = recipe.rows * updates or rows_for(recipe.tokens * updates, recipe.fixed, self.shrink)
        rows = work.rows(count, vocabulary, recipe.fixed, self.shrink)
        try:
            with mock.patch("envdoc.train.compat.remote_class", lambda _: made.Loader(device)), mock.patch(
                "envdoc.train.labels.encode", lambda *_, **__: _corpus(rows)
            ):
                ready = pipeline._prepare(Asked(settings, source, {}, folder, False, False), (), folder)
            told = plan.lines(ready)
            print("\n".join(told), flush=True)
            before = _judged(ready, vocabulary, self.shrink)
            events = folder / "events.jsonl"
            trainer = pipeline._trainer(ready, ready.folder, Events(events))
            fit(trainer, None, [mark, watch] if watch else [mark])
            entries = _entries(folder)
            timed = entries[recipe.warm : mark.steps]
            return {
                **mark.result,
                **(_idle(watch, entries[skipped:]) if watch and watch.found else {}),
                "each": [round(entry["tokens"] / entry["seconds"]) for entry in timed],
                "tokens": sum(entry["tokens"] for entry in timed),
                "padded": sum(entry["padded_tokens"] for entry in timed),
                "losses": [entry["loss"] for entry in entries[: mark.steps]],
                "judged": [before, _judged(ready, vocabulary, self.shrink)],
                "apart": _fast_path(events),
                "halvings": trainer.halvings,
                "told": told,
            }
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _words(recipe: Recipe, base: Path, updates: int) -> List[str]:
    """What every recipe is given; its own words come later and win."""
    return [
        f"model={base}",
        "model.dtype=bf16",
        "data=random",
        f"train.steps={updates}",
        "train.save_every=1000000",
        f"train.learning_rate={RATE}",
        "train.schedule=constant",
        "train.warmup_fraction=0",
        f"train.seed={SEED}",
        f"lora.r={recipe.r}",
        f"lora.alpha={ALPHA}",
        "lora.dropout=0",
        f"lora.targets={ALL}",
    ]


def _corpus(rows: List[List[int]]) -> Any:
    """The rows in the token store, every token but the first to be learnt."""
    from envdoc.train.labels import Corpus
    from envdoc.train.token_store import building

    lengths = numpy.array([len(row) for row in rows])
    ids = numpy.array([token for row in rows for token in row])
    with building(hashlib.sha256(ids.tobytes()).hexdigest()) as writer:
        writer.add(numpy.arange(len(rows)), lengths, ids, numpy.ones_like(ids))
        stored = writer.finish({"notes": [], "ends": []})
    known = stored.about["encoded_sha256"]
    return Corpus(
        path="random",
        rows=stored,
        sha256=known,
        encoded_sha256=known,
        template="random tokens",
        lengths=stored.lengths,
        tokens=len(ids),
        answer_tokens=len(ids),
    )


def _judged(ready: Any, vocabulary: int, shrink: int) -> Any:
    """The loss on the judged rows; None where this form of the model takes no plain row."""
    autocast = ready.fast.autocast if hasattr(ready, "fast") else True
    try:
        return work.judged(ready.model, vocabulary, shrink, autocast)
    except Exception as error:
        print(f"not judged: {error}", flush=True)
        return None


def _idle(watch: Any, profiled: List[Dict[str, Any]]) -> Dict[str, Any]:
    """How long the GPU waited, and at what speed that was seen: the profiler itself takes time."""
    print(
        watch.found.line(),
        *(f"{1000 * gap[0]:.2f} ms: {gap[1]} ... {gap[2]}" for gap in watch.gaps[:SAID]),
        sep="\n",
    )
    seconds = sum(entry["seconds"] for entry in profiled)
    return {
        "waits": watch.found.share,
        "profiled_speed": sum(entry["tokens"] for entry in profiled) / seconds,
        # A small update lets the GPU wait for the next one.
        "profiled_tokens": [entry["tokens"] for entry in profiled],
    }


def _fast_path(events: Path) -> Any:
    """What the trial after the first update found between the fused layers and peft's; None where there was none."""
    told = (json.loads(line) for line in events.read_text().splitlines())
    return next((event for event in told if event["kind"] == "fast_path"), None)


def _entries(folder: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
