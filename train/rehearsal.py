"""`--dry-run`: a few real updates of which nothing is kept, and from them how long the run takes and how much memory.

The rows are those that the run will see, the optimizer and the precision its own; only the number of micro-batches in
an update is at most two. The longest micro-batch of an epoch tells the memory, that one and a usual one the time.
Nothing is written outside a temporary folder.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from transformers import TrainerCallback

from envdoc.train import compat
from envdoc.train.batches import Batch
from envdoc.train.errors import ModelError
from envdoc.train.feed import Update, update_of
from envdoc.train.outcome import peak_memory
from envdoc.train.progress import duration
from envdoc.train.trainer import AdapterTrainer

UPDATES = 3  # the longest to warm up, the longest again, a usual one
LOOK_SECONDS = 30.0  # for going through the batches of an epoch; of a larger one the beginning is taken


@dataclass(frozen=True)
class Plan:
    """The micro-batches of an epoch: how many padded tokens each holds, and two of them to try."""

    sizes: Tuple[Tuple[int, ...], ...]  # per update, per micro-batch: padded tokens
    longest: Batch
    usual: Batch
    whole: bool  # False where only the beginning of the epoch was looked at


@dataclass(frozen=True)
class Measured:
    """What the rehearsal showed. Times are of one micro-batch, its share of the update included."""

    longest_seconds: float
    usual_seconds: float
    peak_bytes: int
    peak_bytes_of: str
    free_bytes: Optional[int]  # of the GPU, before the model's own share is taken off; None on a CPU

    def lines(self, plan: Plan, updates: int) -> List[str]:
        """Time and memory of a run of that many updates, each with what it rests on."""
        seconds = self.run_seconds(plan, updates)
        count = len(plan.sizes)
        looked = f"all {count}" if plan.whole else f"the first {count}"
        among = f"{looked} updates of an epoch" if count > 1 else "the one update of an epoch"
        room = f"; the GPU has {self.free_bytes / 2**30:.1f} GiB for it" if self.free_bytes else ""
        return [
            f"Time      about {duration(seconds)} for {updates} updates, without checkpoints and proof: estimated "
            f"from {_rows(plan.longest)} in {self.longest_seconds:.3g} s, {_rows(plan.usual)} in "
            f"{self.usual_seconds:.3g} s, and the lengths in {among}.",
            f"Memory    {self.peak_bytes / 2**30:.2f} GiB at most ({self.peak_bytes_of}), measured on the longest "
            f"micro-batch, {_rows(plan.longest)}{room}.",
        ]

    def run_seconds(self, plan: Plan, updates: int) -> float:
        """The time of `updates` updates: each micro-batch by its padded tokens, on the line through both measured."""
        small, large = plan.usual["input_ids"].numel(), plan.longest["input_ids"].numel()
        slope = (self.longest_seconds - self.usual_seconds) / (large - small) if large > small else 0.0

        def of(size: int) -> float:
            on_line = self.usual_seconds + max(0.0, slope) * (size - small)
            return max(on_line, self.usual_seconds * min(1.0, size / small))

        each = [sum(of(size) for size in update) for update in plan.sizes]
        full, rest = divmod(updates, len(each))
        return full * sum(each) + sum(each[:rest])


class Rehearsal(AdapterTrainer):
    """The run's own trainer on chosen batches. Trainer stops by itself after `max_steps`."""

    chosen: Sequence[Update] = ()

    def get_train_dataloader(self) -> Any:
        return _Batches(self.chosen)

    def plan(self, updates: int) -> Plan:
        """Go through the batches of the first epoch as the run will have them."""
        until = time.monotonic() + LOOK_SECONDS
        sizes: List[Tuple[int, ...]] = []
        of_size: Dict[int, Tuple[int, int]] = {}  # the first update, and its micro-batch, of that size
        whole, epoch = True, super().get_train_dataloader()
        for update in epoch:
            if len(sizes) == updates or time.monotonic() > until:
                whole = len(sizes) == updates
                break
            batches = update["micro_batches"]
            for part, batch in enumerate(batches):
                of_size.setdefault(batch["input_ids"].numel(), (len(sizes), part))
            sizes.append(tuple(batch["input_ids"].numel() for batch in batches))
        usual = statistics.median_low([size for update in sizes for size in update])

        def again(size: int) -> Batch:
            update, part = of_size[size]
            return epoch.dataset.lay(update)["micro_batches"][part]

        return Plan(tuple(sizes), again(max(of_size)), again(usual), whole)


class _Batches:
    """What Trainer needs of a loader."""

    def __init__(self, updates: Sequence[Update]) -> None:
        self.updates = updates

    def __len__(self) -> int:
        return len(self.updates)

    def __iter__(self) -> Any:
        return iter(self.updates)


class Stopwatch(TrainerCallback):  # type: ignore[misc]
    """The seconds of each update, the GPU's work waited for."""

    def __init__(self) -> None:
        self.seconds: List[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.since = _now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(_now() - self.since)


def rehearse(trainer: Rehearsal, updates: int) -> Tuple[Plan, Measured]:
    """Try the longest and a usual micro-batch. Raises ModelError where the longest does not fit, Diverged."""
    plan = trainer.plan(updates)
    count = min(2, max(len(update) for update in plan.sizes))
    trainer.chosen = [update_of([batch] * count) for batch in (plan.longest, plan.longest, plan.usual)]
    free_bytes = None
    if torch.cuda.is_available():
        free_bytes = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
        torch.cuda.reset_peak_memory_stats()
    watch = Stopwatch()
    trainer.add_callback(watch)
    try:
        trainer.train()
    except compat.out_of_memory():
        raise ModelError(
            f"The longest micro-batch, {_rows(plan.longest)}, does not fit into the GPU's memory.",
            "Halve `train.batch_size` and double `train.accumulation` (the result is the same), lower "
            "`data.max_length`, or set `train.gradient_checkpointing=true` or `model.quantization=4bit`.",
        ) from None
    peak_bytes, of = peak_memory()
    return plan, Measured(watch.seconds[1] / count, watch.seconds[2] / count, peak_bytes, of, free_bytes)


def arguments() -> Mapping[str, Any]:
    """What of the Trainer's arguments differs from the run's."""
    return {"max_steps": UPDATES}


def _rows(batch: Batch) -> str:
    lines, length = batch["input_ids"].shape
    return f"{lines} x {length} tokens" if lines > 1 or "attention_mask" in batch else f"{length} tokens"


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
