"""In what the fast path computes: no autocast, everything frozen in bf16, the adapter's own weights in fp32.

Autocast looks at each operation anew, and the usual k-bit preparation sends fp32 hidden states through the whole model:
on an H200 a 4-bit 7B trained 11,632 tokens a second that way and 16,225 without, in 22 GiB less (2026-11-23). Norms
and softmax compute in fp32 inside their kernels in any case. The fp32 weights of the adapter are rounded for each
product and updated as they are. fp16 keeps autocast and its loss scaling.
"""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from envdoc.train.config import Run
from envdoc.train.parallel import world
from envdoc.train.ready import Asked


def is_fast(run: Run, precision: Any) -> bool:
    """Whether the run computes on the fast path at all: a GPU with bf16, a whole base, nothing switched off."""
    wanted = run.train.fused == "auto" and run.model.preparation != "full"
    return (
        wanted
        and precision.device.type == "cuda"
        and precision.dtype == "bf16"
        and not world.splits_optimizer()
    )


def settled(asked: Asked, precision: Any) -> Asked:
    """The same with `model.preparation: auto` replaced: lean on the fast path; a resumed run goes on as it began."""
    from envdoc.train import checkpoint

    if asked.settings.model.preparation != "auto":
        return asked
    value = "lean" if is_fast(asked.settings, precision) else "full"
    before = checkpoint.newest(asked.folder) if asked.resume else None
    if before is not None:
        told = json.loads((before / checkpoint.COMPLETE).read_text(encoding="utf-8"))["run"]
        value = told.get("model.preparation", "full")
    model = replace(asked.settings.model, preparation=value)
    return replace(asked, settings=replace(asked.settings, model=model))


def keep_autocast(model: Any, dtype: torch.dtype) -> int:
    """Give each LoRA layer that stays peft's own an autocast of its own; how many. Without, it computes in fp32."""
    count = 0
    for module in model.modules():
        if hasattr(module, "lora_A") and "forward" not in module.__dict__:
            module.forward = partial(_under_autocast, module, dtype)
            count += 1
    return count


def undo(model: Any) -> None:
    """What `keep_autocast` did."""
    for module in model.modules():
        ours = module.__dict__.get("forward")
        if isinstance(ours, partial) and ours.func is _under_autocast:
            del module.forward


def _under_autocast(module: Any, dtype: torch.dtype, x: torch.Tensor, *args: Any, **named: Any) -> Any:
    with torch.autocast(x.device.type, dtype):
        return type(module).forward(module, x, *args, **named)
