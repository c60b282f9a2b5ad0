"""What `auto` becomes in a run: settled once, before the model is loaded, and the same when the run is resumed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

from envdoc.train import checkpoint
from envdoc.train import model as models
from envdoc.train.errors import ModelError
from envdoc.train.estimate import here, recorded
from envdoc.train.estimate.planned import AS_BEFORE, left_open, planned, with_values
from envdoc.train.estimate.shape import read_shape
from envdoc.train.parallel import world
from envdoc.train.ready import Asked

WITH_BATCH = ("train.accumulation", "data.packing")  # which the plan also chooses where it chooses the batch


def settle(
    asked: Asked, lengths: Sequence[int], learnt_share: float, base_folder: Path, precision: Any
) -> Tuple[Asked, Tuple[str, ...]]:
    """The same with every `auto` replaced, and sentences on what was chosen and why.

    `lengths` are those of the rows to train on, in tokens, of which `learnt_share` have a label. A resumed run goes
    on as its checkpoint began.
    """
    asked, told = _planned(asked, lengths, learnt_share, base_folder, precision)
    asked, more = _recorded(asked, lengths, learnt_share, base_folder, precision)
    return asked, (*told, *more)


def _planned(
    asked: Asked, lengths: Sequence[int], learnt_share: float, base_folder: Path, precision: Any
) -> Tuple[Asked, Tuple[str, ...]]:
    """With the keys of the plan (planned.py)."""
    run, left = asked.settings, left_open(asked.settings)
    if not left:
        return asked, ()
    before = checkpoint.newest(asked.folder) if asked.resume else None
    if before is not None:
        return _with(asked, _of_checkpoint(before, left)), (f"As {before.name} was begun.",)
    if precision.device.type == "cpu":
        return _with(asked, {key: AS_BEFORE[key] for key in left}), ()
    if world.sharded():  # what a shard takes has no closed form here
        return _with(asked, {key: AS_BEFORE[key] for key in left}), (
            "Not planned: the base is cut into shards.",
        )
    try:
        shape = read_shape(base_folder)
    except ModelError as error:
        told = f"Not planned: {error.message[0].lower()}{error.message[1:]}"
        return _with(asked, {key: AS_BEFORE[key] for key in left}), (told,)
    free_bytes = -world.most(-here.free_bytes())
    run = with_values(run, {"model.dtype": precision.dtype})
    peak = -world.most(-int(here.flops_per_second(precision)))
    replays = recorded.could_be(run, shape, lengths) and here.records(precision)
    found = planned(run, shape, lengths, free_bytes, learnt_share, world.size(), peak, replays)
    chosen = with_values(found.run, {"model.dtype": asked.settings.model.dtype})
    if "model.quantization" in left and chosen.model.quantization != "none":
        models.check_quantisation(chosen.model.quantization, precision)
    return replace(asked, settings=chosen), found.reasons


def _recorded(
    asked: Asked, lengths: Sequence[int], learnt_share: float, base_folder: Path, precision: Any
) -> Tuple[Asked, Tuple[str, ...]]:
    """With `train.cuda_graphs`, once nothing else is open."""
    if asked.settings.train.cuda_graphs != "auto":
        return asked, ()
    before = checkpoint.newest(asked.folder) if asked.resume else None
    if before is not None:
        return _with(asked, _of_checkpoint(before, [recorded.KEY])), ()
    run = with_values(asked.settings, {"model.dtype": precision.dtype})
    off = _with(asked, {recorded.KEY: False}), ()
    try:
        shape = read_shape(base_folder)
    except ModelError:
        return off
    if (
        precision.device.type == "cpu"
        or not recorded.can_be(run, shape, lengths)
        or not here.records(precision)
    ):
        return off
    pays, told = recorded.decided(run, shape, lengths, learnt_share, here.flops_per_second(precision))
    return _with(asked, {recorded.KEY: pays}), told


def _with(asked: Asked, values: Dict[str, Any]) -> Asked:
    return replace(asked, settings=with_values(asked.settings, values))


def _of_checkpoint(folder: Path, left: Sequence[str]) -> Dict[str, Any]:
    """What the interrupted run had chosen for the keys that this one leaves open."""
    before = json.loads((folder / checkpoint.COMPLETE).read_text(encoding="utf-8"))["run"]
    wanted = [*left, *(WITH_BATCH if "train.batch_size" in left else ())]
    return {key: before[key] for key in wanted if key in before}
