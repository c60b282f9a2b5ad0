"""A run's open keys, put before the plan and settled by it: the same for a GPU that is here and one to be rented."""

from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from envdoc.train.config import Run
from envdoc.train.estimate.asked import pass_of
from envdoc.train.estimate.passes import passes_of
from envdoc.train.estimate.plan import ORDER_BY, Open, batches_of, choose, packs_of_update
from envdoc.train.estimate.shape import Shape
from envdoc.train.fast import lines
from envdoc.train.packing import pack

# Where there is no GPU to plan for: what the defaults were before there was a plan.
AS_BEFORE = {"train.batch_size": 4, "train.gradient_checkpointing": True, "model.quantization": "none"}
KEYS = ("train.batch_size", "train.gradient_checkpointing", "model.quantization")


@dataclass(frozen=True)
class Planned:
    """The run with nothing open, whether it fits, and why it is so."""

    run: Run
    fits: bool
    reasons: Tuple[str, ...] = ()


def left_open(run: Run) -> Tuple[str, ...]:
    """The keys that are `auto`."""
    return tuple(key for key in KEYS if value_of(run, key) == "auto")


def planned(
    run: Run,
    shape: Shape,
    lengths: Sequence[int],
    free_bytes: int,
    learnt_share: float = 1.0,
    processes: int = 1,
    flops_per_second: Optional[float] = None,
    replays: bool = False,
) -> Planned:
    """The run with every open key settled for that much free memory, and sentences on the choice.

    `flops_per_second` is the GPU's peak in 16 bits, where it is known: how many tokens keep it busy depends on it.
    `replays` says whether passes of which nothing is computed again can be recorded and replayed there (recorded.py).
    """
    run, asked = before_the_plan(run, shape, lengths, learnt_share, processes)
    asked = replace(asked, replays=replays)
    chosen = choose(shape, free_bytes, asked, flops_per_second or ORDER_BY)
    choice = chosen.choice
    values: Dict[str, Any] = {}
    if asked.checkpointing:
        values["train.gradient_checkpointing"] = choice.checkpointing
    if asked.quantization:
        values["model.quantization"] = choice.quantization
    if asked.batches:
        values["train.batch_size"] = choice.batch
        values["train.accumulation"] = run.train.accumulation // choice.batch
    return Planned(with_values(run, values), chosen.fits, chosen.reasons)


def before_the_plan(
    run: Run, shape: Shape, lengths: Sequence[int], learnt_share: float, processes: int
) -> Tuple[Run, Open]:
    """What is asked of the plan; with `batch: auto` the run comes back packed, one pack a pass, its update decided."""
    keys = left_open(run)
    batches: Tuple[int, ...] = ()
    if "train.batch_size" in keys:
        limit = run.data.max_length
        packs = len(pack([min(int(length), limit) for length in lengths], limit, range(len(lengths))))
        update = packs_of_update(packs, limit)
        update = -(-update // processes) * processes
        batches = batches_of(update, processes)
        run = with_values(run, {"data.packing": True, "train.batch_size": 1, "train.accumulation": update})
    passes = passes_of(lengths, run, packs_rows=True)
    one = pass_of(run, shape, passes, learnt_share)
    return run, Open(
        one=one,
        row_tokens=passes.row_tokens,
        batches=batches,
        pack_tokens=one.tokens if batches else 0,
        checkpointing="train.gradient_checkpointing" in keys,
        quantization="model.quantization" in keys,
        step=lines.step_of(run.data.packing is True, run.data.max_length),
    )


def value_of(run: Run, key: str) -> Any:
    """The value of a dotted key."""
    section, name = key.split(".")
    return getattr(getattr(run, section), name)


def with_values(run: Run, values: Mapping[str, Any]) -> Run:
    """The run with these dotted keys replaced."""
    for key, value in values.items():
        section, name = key.split(".")
        run = replace(run, **{section: replace(getattr(run, section), **{name: value})})
    return run
