"""With a GPU: the run's own configuration tried at two depths and two lengths, and both extrapolated.

The peak of memory and the time of a pass are straight lines in the number of layers at one length, and nearly so in
the tokens of a pass at one depth; four short trials tell the four numbers. The weights are random, and everything else
is the run's own: adapter, fast path, trainer, optimizer.
"""

import dataclasses
import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Tuple

import torch

from envdoc.train import pipeline, rehearsal
from envdoc.train.config import Run
from envdoc.train.estimate import drawn
from envdoc.train.estimate.passes import padded
from envdoc.train.estimate.planned import with_values
from envdoc.train.events import Events
from envdoc.train.fast.precision import settled
from envdoc.train.feed import update_of
from envdoc.train.labels import Corpus
from envdoc.train.model import Precision
from envdoc.train.ready import Asked, Ready
from envdoc.train.turns import MASKED, Tokens
from envdoc.train.units import Units

UPDATES = 3  # one to warm up; the optimizer's state is there from the second on
PASSES = 2  # of an update: the gradients of the first are there while the second computes


@dataclass(frozen=True)
class Trial:
    """One trial: so many layers, so many tokens a pass."""

    layers: int
    tokens: int  # padding included, as the trainer counted them
    peak_bytes: int
    pass_seconds: float


@dataclass(frozen=True)
class Plane:
    """c + a layers + b tokens + d layers tokens, through four trials."""

    constant: float
    per_layer: float
    per_token: float
    per_both: float

    def at(self, layers: int, tokens: float) -> float:
        """The value there."""
        return self.constant + self.per_layer * layers + (self.per_token + self.per_both * layers) * tokens


@dataclass(frozen=True)
class Probed:
    """What the trials tell of any depth and length."""

    trials: Tuple[Trial, ...]
    peak: Plane
    seconds: Plane


def probe(run: Run, config_path: Path, precision: Precision, depths: Tuple[int, int], tokens: Tuple[int, int],
          row_tokens: float, learnt_share: float) -> Probed:  # fmt: skip
    """Four trials. Raises what a run raises, out-of-memory errors of torch included."""
    gc.collect()
    gc.freeze()  # what the libraries made at import: looking through it takes a second each time
    trials = tuple(
        trial(run, config_path, precision, layers, length, row_tokens, learnt_share)
        for layers in depths
        for length in tokens
    )
    return Probed(
        trials, plane(trials, lambda one: one.peak_bytes), plane(trials, lambda one: one.pass_seconds)
    )


def plane(trials: Tuple[Trial, ...], of: Callable[[Trial], float]) -> Plane:
    """Through trials at (few, short), (few, long), (many, short), (many, long)."""
    slopes = []
    for short, long in (trials[:2], trials[2:]):
        slope = (of(long) - of(short)) / (long.tokens - short.tokens)
        slopes.append((of(short) - slope * short.tokens, slope))
    few, many = trials[0].layers, trials[2].layers
    (base_few, slope_few), (base_many, slope_many) = slopes
    per_layer = (base_many - base_few) / (many - few)
    per_both = (slope_many - slope_few) / (many - few)
    return Plane(base_few - per_layer * few, per_layer, slope_few - per_both * few, per_both)


def trial(run: Run, config_path: Path, precision: Precision, layers: int, tokens: int,
          row_tokens: float, learnt_share: float = 1.0) -> Trial:  # fmt: skip
    """A few updates of the run with so many layers and tokens a pass. `run` has no open key."""
    run, lengths = _rows_of(run, tokens, row_tokens)
    held = _held(precision)
    with tempfile.TemporaryDirectory(prefix="envdoc-estimate-") as scratch:
        ready = _ready(run, config_path, precision, layers, lengths, learnt_share, Path(scratch))
        trainer = pipeline._trainer(
            ready, Path(scratch), Events(None), kind=rehearsal.Rehearsal, arguments={"max_steps": UPDATES}
        )
        longest = trainer.plan(1).longest
        trainer.chosen = [update_of([longest] * PASSES) for _ in range(UPDATES)]
        watch = rehearsal.Stopwatch()
        trainer.add_callback(watch)
        _forget(precision)
        if precision.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        trainer.train()
        peak = int(torch.cuda.max_memory_allocated()) - held if precision.device.type == "cuda" else 0
        halved = trainer.halvings
    seconds, count = min(watch.seconds[1:]), int(longest["input_ids"].numel())
    del trainer, ready, longest
    _forget(precision)
    if halved:
        raise torch.cuda.OutOfMemoryError(f"{tokens} tokens a pass do not fit")
    return Trial(layers, count, peak, seconds / PASSES)


def _rows_of(run: Run, tokens: int, row_tokens: float) -> Tuple[Run, List[int]]:
    """The run with passes of so many tokens, and the lengths of rows that fill them."""
    values: Dict[str, Any] = {"train.accumulation": PASSES, "train.steps": UPDATES, "eval.every": 10**6}
    values.update({"data.eval_path": None, "data.eval_fraction": 0.0, "eval.patience": 0, "eval.samples": ()})
    if run.data.packing is False:
        row = padded(min(run.data.max_length, max(16, tokens // int(run.train.batch_size))))
        values["train.batch_size"] = max(1, tokens // row)
        return with_values(run, values), [row] * (values["train.batch_size"] * PASSES)
    limit = min(run.data.max_length, tokens)
    values.update(
        {"data.packing": True, "data.max_length": limit, "train.batch_size": max(1, tokens // limit)}
    )
    of_pack = max(1, round(limit / row_tokens))
    return with_values(run, values), [limit // of_pack] * (of_pack * values["train.batch_size"] * PASSES)


def _ready(run: Run, config_path: Path, precision: Precision, layers: int, lengths: List[int],
           learnt_share: float, scratch: Path) -> Ready:  # fmt: skip
    config = drawn.config_of(config_path, layers, run.model)
    asked = settled(Asked(run, "the estimate", {}, scratch, dry_run=True, resume=False), precision)
    run = asked.settings
    base = drawn.draw(config, run.model, precision)
    model = pipeline._model(asked, scratch, precision, base)
    corpus = _corpus(lengths, int(getattr(config, "vocab_size", 0) or config.padded_vocab_size), learnt_share)
    units = Units(corpus.lengths, run.data, run.train.seed, int(run.train.batch_size))
    return Ready(
        asked=asked, precision=precision, base_folder=scratch, fingerprint="", corpus=corpus, identity={},
        tokenizer=SimpleNamespace(pad_token_id=0, eos_token_id=0), checkpoint=None, model=model, units=units,
        form=pipeline._form(run, model, precision),
    )  # fmt: skip


def _corpus(lengths: List[int], vocabulary: int, learnt_share: float) -> Corpus:
    rows = []
    for number, length in enumerate(lengths):
        ids = [(7919 * (number + place) + place * place) % vocabulary for place in range(length)]
        quiet = min(length - 2, round(length * (1 - learnt_share)))
        rows.append(Tokens(number, ids, [MASKED] * quiet + ids[quiet:]))
    return Corpus(
        "drawn", rows, "", "", "drawn", lengths=lengths, tokens=sum(lengths), answer_tokens=sum(lengths)
    )


def _held(precision: Precision) -> int:
    """What torch holds of the GPU before a trial: of an earlier one that failed."""
    _forget(precision)
    return int(torch.cuda.memory_allocated()) if precision.device.type == "cuda" else 0


def _forget(precision: Precision) -> None:
    gc.collect()
    if precision.device.type == "cuda":
        # cuBLAS's workspace is a part of the peak: each trial must take it anew
        getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()
        torch.cuda.empty_cache()


def trials_of(probed: Probed) -> List[Dict[str, Any]]:
    """For JSON."""
    return [dataclasses.asdict(one) for one in probed.trials]
