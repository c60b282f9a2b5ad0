"""The command `estimate`: the run file, the model's shape and the rows' lengths become a report.

Needs no torch: what a tokenizer or a GPU would tell is used where both are here, and estimated elsewhere.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

from envdoc.train import runfile
from envdoc.train.config import TINY, Run, flat
from envdoc.train.errors import ConfigError, TrainError, first_line
from envdoc.train.estimate import counted, modelplace, recorded, speed
from envdoc.train.estimate.asked import pass_of, usual
from envdoc.train.estimate.memory import Pass, peak_bytes
from envdoc.train.estimate.passes import Passes, passes_of
from envdoc.train.estimate.planned import AS_BEFORE, KEYS, Planned, left_open, planned, with_values
from envdoc.train.estimate.report import Report, document, lines
from envdoc.train.estimate.shape import Shape
from envdoc.train.estimate.speed import Gpu, gpu_of
from envdoc.train.progress import say

CONTEXT_BYTES = 600 * 2**20  # CUDA's own of a process, loaded kernels included: 0.4 to 0.6 GiB
DEPTHS = (2, 4)  # layers of the trials


def estimate(
    config: Optional[str],
    overrides: Sequence[str],
    told: Optional[str],
    price: Optional[float],
    form: str,
    tries: bool,
) -> int:
    """Print the report; 0, or 1 where the run does not fit into the GPU. Raises TrainError.

    `told` is a JSON file with what the doctor knows of the GPU (speed.Gpu); `tries` lets a GPU that is here be tried.
    """
    run, _ = runfile.load(config, overrides)
    shape = modelplace.shape(run.model)
    gpu = _gpu(told)
    rows = counted.rows_of(run)
    if gpu is not None and not gpu.has_bf16 and run.model.dtype == "auto":
        run = with_values(run, {"model.dtype": "fp16"})
    settled = _settled(run, shape, rows, gpu)
    report = _report(settled.run, shape, rows, gpu, settled.reasons, price)
    if tries and gpu is not None and gpu.here and run.model.path != TINY:
        report = replace(report, probed=_probed(report))
    if report.fits is False:
        report = replace(report, instead=_instead(run, shape, rows, gpu))
    print(json.dumps(document(report), indent=2) if form == "json" else "\n".join(lines(report)), flush=True)
    return 1 if report.fits is False else 0


def _gpu(told: Optional[str]) -> Optional[Gpu]:
    if told is None:
        return None
    try:
        return gpu_of(json.loads(Path(told).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"The file `{told}` tells of no GPU: {error}.") from None


def _settled(run: Run, shape: Shape, rows: counted.Rows, gpu: Optional[Gpu]) -> Planned:
    """The run with its open keys as `train` would settle them on that GPU; without one, as on a CPU."""
    left = left_open(run)
    if gpu is not None and left:
        peak, replays = gpu.flops_per_second, gpu.replays and recorded.could_be(run, shape, rows.lengths)
        return _recorded(
            planned(run, shape, rows.lengths, usable(gpu), rows.learnt_share, 1, peak, replays),
            shape,
            rows,
            gpu,
        )
    done = Planned(with_values(run, {key: AS_BEFORE[key] for key in left}), True)
    return _recorded(done, shape, rows, gpu)


def _recorded(done: Planned, shape: Shape, rows: counted.Rows, gpu: Optional[Gpu]) -> Planned:
    """With `train.cuda_graphs` as `train` would settle it."""
    if done.run.train.cuda_graphs != "auto":
        return done
    pays, told = False, ()
    if (
        gpu is not None
        and gpu.replays
        and gpu.flops_per_second
        and recorded.can_be(done.run, shape, rows.lengths)
    ):
        pays, told = recorded.decided(done.run, shape, rows.lengths, rows.learnt_share, gpu.flops_per_second)
    run = with_values(done.run, {recorded.KEY: pays})
    return replace(done, run=run, reasons=(*done.reasons, *told))


def _instead(run: Run, shape: Shape, rows: counted.Rows, gpu: Optional[Gpu]) -> Optional[str]:
    """The words that make the run fit into the GPU, where the plan knows some."""
    assert gpu is not None
    opened, peak = with_values(run, dict.fromkeys(KEYS, "auto")), gpu.flops_per_second
    found = planned(opened, shape, rows.lengths, usable(gpu), flops_per_second=peak)
    if not found.fits:
        return None
    was, now = flat(run), flat(found.run)
    changed = [key for key in (*KEYS, "train.accumulation", "data.packing") if was[key] != now[key]]
    return " ".join(f"{key}={str(now[key]).lower()}" for key in changed)


def usable(gpu: Gpu) -> int:
    """Of the GPU's memory what torch may have: CUDA's own and what others hold are off it."""
    return gpu.memory_bytes - CONTEXT_BYTES - gpu.used_bytes


def _report(
    run: Run,
    shape: Shape,
    rows: counted.Rows,
    gpu: Optional[Gpu],
    reasons: Tuple[str, ...],
    price: Optional[float],
) -> Report:
    passes = passes_of(rows.lengths, run, packs_rows=True)
    largest = pass_of(run, shape, passes, rows.learnt_share)
    per_epoch = max(1, round(passes.updates * rows.scale))
    updates = run.train.steps or run.train.epochs * per_epoch
    tokens = round(passes.tokens / passes.updates * updates)
    return Report(
        run=run,
        shape=shape,
        rows=rows,
        passes=passes,
        largest=largest,
        terms=peak_bytes(shape, largest),
        gpu=gpu,
        usable_bytes=usable(gpu) if gpu else None,
        reasons=reasons,
        tokens=tokens,
        updates=updates,
        tokens_per_second=_speed(shape, usual(largest, passes), passes, gpu),
        price_per_hour=price,
    )


def _speed(shape: Shape, one: Pass, passes: Passes, gpu: Optional[Gpu]) -> Optional[float]:
    if gpu is None or gpu.flops_per_second is None:
        return None
    return passes.full / speed.seconds_per_token(shape, one, passes.row_tokens, gpu.flops_per_second)


def _probed(report: Report) -> Dict[str, Any]:
    """What the GPU here tells, or why it was not asked: an estimate in closed form is better than none."""
    run, shape, passes = report.run, report.shape, report.passes
    say("Trying the configuration at two depths and two lengths ...")
    try:
        from envdoc.train.libraries import load_libraries

        load_libraries()
        from envdoc.train.estimate.probe import probe, trials_of
        from envdoc.train.model import choose_precision

        precision = choose_precision(run.model)
        if precision.device.type != "cuda":
            return {"failed": "torch sees no GPU."}
        longest, depths = report.largest.tokens, (DEPTHS if shape.layers > max(DEPTHS) else (1, 2))
        found = probe(run, modelplace.config_path(run.model), precision, depths, (max(64, longest // 2), longest),
                      passes.row_tokens, report.rows.learnt_share)  # fmt: skip
    except TrainError as error:
        return {"failed": error.message}
    except Exception as error:  # out of memory at four layers, a library's own: the closed form stands
        return {"failed": f"{type(error).__name__}: {first_line(error)}"}
    seconds = found.seconds.at(shape.layers, passes.usual_tokens)
    return {
        "peak_bytes": round(found.peak.at(shape.layers, longest)),
        "tokens_per_second": passes.full * passes.usual_tokens / seconds if seconds > 0 else None,
        "trials": trials_of(found),
    }
