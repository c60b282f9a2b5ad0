"""DeepSpeed's own JSON, as `parallel.deepspeed` names it: read, held against the run, and filled in from it.

What the run decides (rows of an update, precision, optimizer, schedule, clipping) stands in the run file alone: the
JSON may leave it out, say "auto", or say the same. What is left goes to DeepSpeed as it is. No library is imported.
"""

import difflib
import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from envdoc.train.config import Run
from envdoc.train.errors import ConfigError

AUTO = "auto"
# transformers' own values for `adamw`, which no key of a run changes.
ADAM = {"betas": [0.9, 0.999], "eps": 1e-8}

# DeepSpeed's names for the schedules that both have.
SCHEDULES = {
    "WarmupLR": "constant_with_warmup",
    "WarmupDecayLR": "linear",
    "WarmupCosineLR": "cosine",
}

# The sections and keys that are handed on (deepspeed.ai/docs/config-json, 0.19.8); DeepSpeed itself passes over a
# key that it does not know without a word.
PASSED_ON = {
    "zero_optimization",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "communication_data_type",
    "prescale_gradients",
    "gradient_predivide_factor",
    "data_types",
    "steps_per_print",
    "wall_clock_breakdown",
    "memory_breakdown",
    "dump_state",
    "comms_logger",
    "flops_profiler",
    "log_level",
}

# What envdoc does itself, or cannot prove.
INSTEAD = {
    "activation_checkpointing": "`train.gradient_checkpointing` says whether activations are computed again",
    "amp": "`model.dtype` says what the run computes in",
    "torch_autocast": "`model.dtype` says what the run computes in",
    "checkpoint": "checkpoints are envdoc's own: safetensors and JSON, no pickles",
    "tensorboard": "`report.to` names who else is told",
    "wandb": "`report.to` names who else is told",
    "comet": "`report.to` names who else is told",
    "csv_monitor": "`report.to` names who else is told, and every run keeps steps.jsonl",
    "elasticity": "a run goes on with as many processes as it began with",
    "seed": "`train.seed` is the run's",
}

# Parts of ZeRO that need kernels compiled by DeepSpeed, or round gradients or weights on their way.
NOT_TRIED = (
    "zero_quantized_weights",
    "zero_quantized_nontrainable_weights",
    "zero_quantized_gradients",
    "zenflow",
    "legacy_stage1",
)


def check_installed() -> None:
    """Raises ConfigError where this environment lacks DeepSpeed."""
    if find_spec("deepspeed") is None:
        raise ConfigError(
            "`parallel.strategy` is deepspeed, and this environment has no package `deepspeed`.",
            f"Install it with `DS_BUILD_OPS=0 {sys.executable} -m pip install deepspeed` on every node (nothing is "
            "compiled), or use `parallel.strategy=fsdp`.",
        )


def read(run: Run) -> Dict[str, Any]:
    """The JSON of `parallel.deepspeed`, fit for this run as far as that can be seen without a library.

    Raises ConfigError for a file that is none, a key that is unknown, and one that contradicts the run.
    """
    assert run.parallel.deepspeed is not None
    path = Path(run.parallel.deepspeed).expanduser()
    raw = _parsed(path)
    _check_stage(raw, path.name)
    _check_zero(raw, run, path.name)
    for key, value in _leaves(raw):
        _check_key(key, value, path.name)
    _check_decided(raw, _decided(run), path.name)
    return raw


def merged(raw: Mapping[str, Any], run: Run, processes: int, dtype: str, trained: int) -> Dict[str, Any]:
    """What DeepSpeed is told. `trained` is the count of trained numbers, `dtype` what the run computes in.

    The base stays in `dtype` and the adapter in fp32 under torch's autocast, as with every other strategy; so
    DeepSpeed's own mixed precision, which would cast the adapter too, stays off. Raises ConfigError.
    """
    name = Path(str(run.parallel.deepspeed)).name
    accumulation = run.train.accumulation // processes
    shared = f"`train.accumulation` over {processes} processes"
    late = {
        "gradient_accumulation_steps": (accumulation, shared),
        "bf16.enabled": (dtype == "bf16", f"`model.dtype`, here {dtype}"),
        "fp16.enabled": (dtype == "fp16", f"`model.dtype`, here {dtype}"),
    }
    _check_decided(raw, late, name)
    told = {key: value for key, value in raw.items() if key in PASSED_ON}
    zero = {key: value for key, value in raw["zero_optimization"].items() if value != AUTO}
    # DeepSpeed reserves a bucket of 5e8 numbers, which an adapter does not fill.
    zero.setdefault("reduce_bucket_size", max(1, min(trained, 500_000_000)))
    return {
        "zero_allow_untested_optimizer": True,  # the run's own, which steps over flat parts as over whole matrices
        "zero_force_ds_cpu_optimizer": False,  # that one is compiled on the spot; an adapter's few numbers need none
        **told,
        "zero_optimization": zero,
        "train_batch_size": run.train.batch_size * run.train.accumulation,
        "train_micro_batch_size_per_gpu": run.train.batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": run.train.max_grad_norm,
    }


def stage(raw: Mapping[str, Any]) -> int:
    """1, 2 or 3."""
    return int(raw["zero_optimization"]["stage"])


def identity(raw: Mapping[str, Any]) -> Dict[str, Any]:
    """What must be equal for a resumed run to be the same run: every value that goes to DeepSpeed, by its key, and all
    of them together, for a key that is gone."""
    passed = {
        f"deepspeed {key}": value
        for key, value in sorted(_leaves(raw))
        if key.split(".")[0] in PASSED_ON and value != AUTO
    }
    digest = hashlib.sha256(json.dumps(passed, sort_keys=True).encode()).hexdigest()
    return {**passed, "the hash of DeepSpeed's configuration": digest[:12]}


def _parsed(path: Path) -> Dict[str, Any]:
    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        seen = dict(pairs)
        for key in seen:
            if sum(1 for name, _ in pairs if name == key) > 1:
                raise ConfigError(f"`{path}`: the key `{key}` is there twice.")
        return seen

    try:
        raw = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no file `{path}`, which `parallel.deepspeed` names.",
            '`{"zero_optimization": {"stage": 2}}` in it is enough.',
        ) from None
    except OSError as error:
        raise ConfigError(
            f"`{path}`, which `parallel.deepspeed` names, cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"`{path}`, which `parallel.deepspeed` names, is not UTF-8 text.") from None
    except ValueError as error:
        raise ConfigError(f"`{path}`, which `parallel.deepspeed` names, is no JSON: {error}.") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"`{path}` must hold keys and values, and holds a {type(raw).__name__}.")
    return raw


def _check_stage(raw: Mapping[str, Any], name: str) -> None:
    zero = raw.get("zero_optimization")
    if not isinstance(zero, dict) or "stage" not in zero:
        raise ConfigError(
            f"`{name}` names no `zero_optimization.stage`.",
            "1 splits the optimizer's state between the processes, 2 the gradients too, 3 the base too.",
        )
    if isinstance(zero["stage"], bool) or zero["stage"] not in (1, 2, 3):
        raise ConfigError(
            f"`zero_optimization.stage` in `{name}` is {json.dumps(zero['stage'])}, and must be 1, 2 or 3.",
            "Without ZeRO it is `parallel.strategy=ddp`." if zero["stage"] == 0 else None,
        )


def _check_zero(raw: Mapping[str, Any], run: Run, name: str) -> None:
    zero = raw["zero_optimization"]
    for key in NOT_TRIED:
        if zero.get(key) not in (None, False, AUTO):
            raise ConfigError(
                f"`zero_optimization.{key}` in `{name}` is {json.dumps(zero[key])}, which envdoc does not offer.",
                "Leave it out.",
            )
    for key in ("offload_optimizer", "offload_param"):
        device = zero[key].get("device", "none") if isinstance(zero.get(key), dict) else "none"
        if device not in ("none", "cpu", AUTO):
            raise ConfigError(
                f"`zero_optimization.{key}.device` in `{name}` is {json.dumps(device)}, and must be none or cpu.",
                "NVMe needs a library that DeepSpeed compiles on the spot.",
            )
    if stage(raw) < 3:
        return
    for holds, key, why in (
        (run.lora.dora, "lora.dora", "DoRA reads whole weights"),
        (run.lora.from_base, "lora.init", "a start from the base reads whole weights"),
        (bool(run.eval.samples), "eval.samples", "one process would generate, without the others' parts"),
    ):
        if holds:
            raise ConfigError(
                f"`zero_optimization.stage` in `{name}` is 3, and `{key}` is given: of the base each process has a "
                f"part, and {why}.",
                f"Use stage 1 or 2, or leave `{key}` out.",
            )


def _decided(run: Run) -> Dict[str, Tuple[Any, str]]:
    """What the run file says of a DeepSpeed key, and with which key of its own."""
    train = run.train
    values: Dict[str, Tuple[Any, str]] = {
        "train_batch_size": (
            train.batch_size * train.accumulation,
            "`train.batch_size` times `train.accumulation`",
        ),
        "train_micro_batch_size_per_gpu": (train.batch_size, "`train.batch_size`"),
        "gradient_clipping": (train.max_grad_norm, "`train.max_grad_norm`"),
        "optimizer.type": (
            "AdamW" if train.optimizer.startswith("adamw") else train.optimizer,
            "`train.optimizer`",
        ),
        "optimizer.params.lr": (train.learning_rate, "`train.learning_rate`"),
        "optimizer.params.weight_decay": (train.weight_decay, "`train.weight_decay`"),
        "scheduler.type": (
            {ours: theirs for theirs, ours in SCHEDULES.items()}.get(train.schedule, train.schedule),
            "`train.schedule`",
        ),
    }
    for name, value in ADAM.items():
        values[f"optimizer.params.{name}"] = (value, f"transformers' {name} of `train.optimizer`")
    if run.model.dtype != AUTO:
        for kind in ("bf16", "fp16"):
            values[f"{kind}.enabled"] = (run.model.dtype == kind, f"`model.dtype`, {run.model.dtype}")
    return values


def _check_decided(raw: Mapping[str, Any], decided: Mapping[str, Tuple[Any, str]], name: str) -> None:
    for key, found in _leaves(raw):
        if key not in decided or found == AUTO:
            continue
        value, ours = decided[key]
        if found != value:
            raise ConfigError(
                f"`{key}` in `{name}` is {json.dumps(found)}, and the run says {json.dumps(value)} ({ours}).",
                f'The run decides that: change the run, or write "auto" for `{key}`.',
            )


def _check_key(key: str, value: Any, name: str) -> None:
    top = key.split(".")[0]
    if top in ("fp16", "bf16"):
        return  # `enabled` is compared; the rest speaks of loss scaling, which the run's dtype decides
    if top in ("optimizer", "scheduler"):
        known = key in ("optimizer.type", "scheduler.type") or key.startswith("optimizer.params.")
        known = known and (not key.startswith("optimizer.params.") or key.split(".")[2] in _PARAMETERS)
        if value == AUTO or known:
            return
        raise ConfigError(
            f"`{key}` in `{name}` is {json.dumps(value)}: the run's own {top} trains, of which no key says that.",
            f'Leave it out or write "auto"; `train.{"optimizer" if top == "optimizer" else "schedule"}` names it.',
        )
    if key in _RUN or top in PASSED_ON:
        return
    if top in INSTEAD:
        raise ConfigError(f"`{top}` in `{name}` has no place in a run: {INSTEAD[top]}.", "Leave it out.")
    known_keys = sorted({*PASSED_ON, *_RUN, "optimizer", "scheduler", "bf16", "fp16"})
    near = difflib.get_close_matches(top, known_keys, 1, 0.6)
    raise ConfigError(
        f"`{name}` has the key `{top}`, which a run does not hand to DeepSpeed.",
        f"Did you mean `{near[0]}`?" if near else f"The keys are: {', '.join(known_keys)}.",
    )


_PARAMETERS = ("lr", "weight_decay", *ADAM)
_RUN = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
)


def _leaves(raw: Mapping[str, Any], prefix: str = "") -> Iterator[Tuple[str, Any]]:
    """("zero_optimization.stage", 2), ...; a section that is empty is a leaf too."""
    for key, value in raw.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
