"""What `auto` becomes in a run: settled once, before the model is loaded, and the same when the run is resumed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple

from envdoc.train import checkpoint
from envdoc.train.config import Run
from envdoc.train.ready import Asked

KEYS = ("train.batch_size", "train.gradient_checkpointing", "model.quantization")
WITH_BATCH = ("train.accumulation", "data.packing")  # which the plan also chooses where it chooses the batch
# Where there is no GPU to plan for: what the defaults were before there was a plan.
AS_BEFORE = {"train.batch_size": 4, "train.gradient_checkpointing": True, "model.quantization": "none"}


def settle(
    asked: Asked, lengths: Sequence[int], base_folder: Path, precision: Any
) -> Tuple[Asked, Tuple[str, ...]]:
    """The same with every `auto` of KEYS replaced, and sentences on what was chosen and why.

    `lengths` are those of the rows to train on, in tokens. A resumed run goes on as its checkpoint began.
    """
    run = asked.settings
    left = [key for key in KEYS if _value(run, key) == "auto"]
    if not left:
        return asked, ()
    before = checkpoint.newest(asked.folder) if asked.resume else None
    if before is not None:
        chosen, told = _of_checkpoint(before, left), (f"As {before.name} was begun.",)
    else:
        chosen, told = {key: AS_BEFORE[key] for key in left}, ()
    return replace(asked, settings=_replaced(run, chosen)), told


def _of_checkpoint(folder: Path, left: Sequence[str]) -> Dict[str, Any]:
    """What the interrupted run had chosen for the keys that this one leaves open."""
    before = json.loads((folder / checkpoint.COMPLETE).read_text(encoding="utf-8"))["run"]
    wanted = [*left, *(WITH_BATCH if "train.batch_size" in left else ())]
    return {key: before[key] for key in wanted if key in before}


def _value(run: Run, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(run, section), name)


def _replaced(run: Run, chosen: Mapping[str, Any]) -> Run:
    for key, value in chosen.items():
        section, name = key.split(".")
        run = replace(run, **{section: replace(getattr(run, section), **{name: value})})
    return run
