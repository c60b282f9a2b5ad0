"""Optimizer, learning-rate schedule and noise, as transformers, bitsandbytes and peft make them."""

import math
from typing import Any, Dict

import torch

from envdoc.train import compat
from envdoc.train.config import Run, Train
from envdoc.train.errors import ConfigError, ModelError, first_line
from envdoc.train.model import Precision

# Our words, and those of transformers' `TrainingArguments.optim`.
NAMES = {
    "adamw": "adamw_torch",
    "adamw_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "lion": "lion_32bit",
    "lion_8bit": "lion_8bit",
    "paged_lion_8bit": "paged_lion_8bit",
    "adafactor": "adafactor",
}
TRIED_NUMBERS = 8192  # bitsandbytes keeps states of fewer than 4096 numbers in 32 bits


def arguments(run: Run, total: int, precision: Precision) -> Dict[str, Any]:
    """What transformers' TrainingArguments are told of `total` updates. Raises ConfigError."""
    train = run.train
    values: Dict[str, Any] = {
        "optim": NAMES["adamw_fused" if fuses(run, precision) else train.optimizer],
        "lr_scheduler_type": schedule(train.schedule),
    }
    asked = {
        "lr_scheduler_kwargs": (f"`train.schedule` is {train.schedule}", schedule_arguments(train, total)),
        "neftune_noise_alpha": ("`train.neftune_alpha` is above 0", train.neftune_alpha),
    }
    for name, (said, value) in asked.items():
        if value and not compat.knows_argument(name):
            raise ConfigError(
                f"{said}, and transformers {compat.version_of('transformers')} cannot be told so: its "
                f"TrainingArguments have no `{name}`.",
                "Leave it out, or train with a newer transformers (`envdoc profiles` lists what is at hand).",
            )
        if value:
            values[name] = value
    return values


def fuses(run: Run, precision: Precision) -> bool:
    """Whether plain AdamW takes its step in one kernel: the same numbers but for rounding, in a tenth of the launches.

    A resumed run goes on with what its checkpoint's optimizer was, since torch keeps that in the state.
    """
    if run.train.optimizer != "adamw" or run.train.fused == "off" or precision.device.type != "cuda":
        return False
    try:
        check("adamw_fused", precision)
    except ModelError:  # a torch or a GPU without it
        return False
    return True


def schedule(name: str) -> Any:
    """transformers' own value. Raises ConfigError where this version lacks it."""
    from transformers import SchedulerType

    try:
        return SchedulerType(name)
    except ValueError:
        known = ", ".join(kind.value for kind in SchedulerType)
        raise ConfigError(
            f"`train.schedule` is {name}, and transformers {compat.version_of('transformers')} knows {known}."
        ) from None


def warmup_updates(train: Train, total: int) -> int:
    """The updates of the warm-up, of which the first has a rate of 0. Never all: a run of one would train nothing."""
    return min(math.ceil(total * train.warmup_fraction), total - 1) if train.schedule != "constant" else 0


def schedule_arguments(train: Train, total: int) -> Dict[str, Any]:
    """What a schedule needs beyond warm-up and length."""
    decay = max(1, round(total * train.decay_fraction))
    return {
        "cosine_with_restarts": {"num_cycles": train.cycles},
        "cosine_with_min_lr": {"min_lr": train.learning_rate * train.min_lr_fraction},
        "polynomial": {"lr_end": train.learning_rate * train.min_lr_fraction},
        "warmup_stable_decay": {
            "num_decay_steps": decay,
            "min_lr_ratio": train.min_lr_fraction,
            "num_stable_steps": max(0, total - warmup_updates(train, total) - decay),
        },
    }.get(train.schedule, {})


def make_loraplus(trainer: Any, run: Run) -> Any:
    """The trainer's own optimizer with B `lora.plus_ratio` times as fast as A (LoRA+), by peft."""
    from peft.optimizers import create_loraplus_optimizer

    kind, values = compat.optimizer_of(trainer)
    return create_loraplus_optimizer(
        trainer.model,
        kind,
        lr=values.pop("lr"),
        loraplus_lr_ratio=run.lora.plus_ratio,
        loraplus_weight_decay=run.train.weight_decay,
        **values,
    )


def check(name: str, precision: Precision) -> None:
    """Take one step where the run will take its own. Raises ModelError with the reason.

    bitsandbytes 0.50 steps on a CPU too, 0.45 and older on CUDA only; a build without this CUDA version's library
    imports and fails at the first step. Only running it tells.
    """
    if name == "adamw":
        return
    from transformers import Trainer

    weight = torch.nn.Parameter(torch.ones(TRIED_NUMBERS // 64, 64, device=precision.device))
    before = weight.detach().clone()
    try:
        told = compat.trainer_arguments(
            {"output_dir": ".", "optim": NAMES[name], "use_cpu": precision.device.type == "cpu"}
        )
        kind, values = Trainer.get_optimizer_cls_and_kwargs(told)
        optimizer = kind([weight], **values)
        weight.sum().backward()
        optimizer.step()
        works = bool(torch.isfinite(weight).all()) and not torch.equal(weight.detach(), before)
        reason = "it leaves the weight as it was, or no number"
    except (Exception, SystemExit) as error:  # a missing library raises ImportError, RuntimeError, OSError...
        works, reason = False, first_line(error).rstrip(".")
    if not works:
        raise ModelError(
            f"`train.optimizer` is {name}, and bitsandbytes {compat.version_of('bitsandbytes') or '(missing)'} with "
            f"torch {torch.__version__} cannot take a step of it on {precision.device.type}: {reason}.",
            "Use `train.optimizer=adamw`, or let `envdoc fix` build an environment whose bitsandbytes works.",
        )
