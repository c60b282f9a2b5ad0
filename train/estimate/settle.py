"""What `auto` becomes in a run: settled once, before the model is loaded, and the same when the run is resumed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

from envdoc.train import checkpoint
from envdoc.train import model as models
from envdoc.train.errors import ModelError
from envdoc.train.estimate.planned import AS_BEFORE, left_open, planned, with_values
from envdoc.train.estimate.shape import read_shape
from envdoc.train.parallel import world
from envdoc.train.ready import Asked

SIDE, PRODUCTS, BURST = 4096, 10, 0.78
WITH_BATCH = ("train.accumulation", "data.packing")  # which the plan also chooses where it chooses the batch


def settle(
    asked: Asked, lengths: Sequence[int], learnt_share: float, base_folder: Path, precision: Any
) -> Tuple[Asked, Tuple[str, ...]]:
    """The same with every `auto` replaced, and sentences on what was chosen and why.

    `lengths` are those of the rows to train on, in tokens, of which `learnt_share` have a label. A resumed run goes
    on as its checkpoint began.
    """
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
    free_bytes = -world.most(-_free_bytes())
    run = with_values(run, {"model.dtype": precision.dtype})
    peak = -world.most(-int(_flops_per_second(precision)))
    found = planned(run, shape, lengths, free_bytes, learnt_share, world.size(), peak)
    chosen = with_values(found.run, {"model.dtype": asked.settings.model.dtype})
    if "model.quantization" in left and chosen.model.quantization != "none":
        models.check_quantisation(chosen.model.quantization, precision)
    return replace(asked, settings=chosen), found.reasons


def _free_bytes() -> int:
    """Of the GPU: what other processes hold is off it, and so is what CUDA itself holds of this one."""
    import torch

    return int(torch.cuda.mem_get_info()[0]) + int(torch.cuda.memory_reserved())


def _flops_per_second(precision: Any) -> float:
    """The GPU's peak in 16 bits, from what a few products reach: in bursts a healthy GPU makes some 78% of it.

    772 to 802 of the 989 TFLOP/s of an H200's data sheet, on five of them (2026-11-30).
    """
    import torch

    dtype = torch.float16 if precision.dtype == "fp16" else torch.bfloat16
    one = torch.linspace(-1, 1, SIDE**2, dtype=dtype, device=precision.device).view(
        SIDE, SIDE
    )  # nothing is drawn
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for times in (PRODUCTS, PRODUCTS):  # the first ones load the library
        begin.record()
        for _ in range(times):
            one @ one
        end.record()
    end.synchronize()
    return 2.0 * SIDE**3 * PRODUCTS / (1e-3 * begin.elapsed_time(end)) / BURST


def _with(asked: Asked, values: Dict[str, Any]) -> Asked:
    return replace(asked, settings=with_values(asked.settings, values))


def _of_checkpoint(folder: Path, left: Sequence[str]) -> Dict[str, Any]:
    """What the interrupted run had chosen for the keys that this one leaves open."""
    before = json.loads((folder / checkpoint.COMPLETE).read_text(encoding="utf-8"))["run"]
    wanted = [*left, *(WITH_BATCH if "train.batch_size" in left else ())]
    return {key: before[key] for key in wanted if key in before}
