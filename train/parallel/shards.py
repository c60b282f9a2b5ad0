"""The frozen base and the adapter cut into shards, one a rank, by torch's FullyShardedDataParallel (or zero.py).

The policy of what is gathered together is peft's own: a decoder layer, and each trained matrix by itself, so that
what trains (fp32) and what does not (bf16, or 4 bits stored as bf16) never share a buffer. The model is wrapped here
and not by accelerate, which wraps only where it sees a GPU, and whose default became FSDP's second version in
transformers 5.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import torch

from envdoc.train.errors import ConfigError, ModelError
from envdoc.train.parallel import world, zero
from envdoc.train.progress import say

WRAPPED = "_fsdp_wrapped_module."


def check(quantization: str, precision: Any) -> None:
    """Raises ConfigError for what cannot be cut into shards."""
    strategy = world.here().strategy
    if quantization == "8bit" and world.sharded():
        raise ConfigError(
            f"`model.quantization` is 8bit, and `parallel.strategy` is {strategy}"
            + (" at stage 3" if world.here().stage else "")
            + ": int8 weights cannot be cut into shards.",
            "Use `model.quantization=4bit` or `none` with it, or `parallel.strategy=ddp` with 8bit.",
        )
    if precision.dtype == "fp16":
        raise ConfigError(
            f"`model.dtype` is fp16, and `parallel.strategy` is {strategy}: loss scaling over shards is not offered.",
            "Use `model.dtype=bf16` or fp32, or `parallel.strategy=ddp`.",
        )


def wrap(model: Any, device: torch.device) -> Any:
    """The peft model in shards; every rank must hold the same weights before. Raises ModelError."""
    from peft.utils.other import fsdp_auto_wrap_policy
    from torch.distributed.fsdp import FullyShardedDataParallel

    try:
        policy = fsdp_auto_wrap_policy(model)
        wrapped = FullyShardedDataParallel(
            model,
            auto_wrap_policy=policy,
            # bitsandbytes finds its scales again on a flat parameter, and not on a view of one
            use_orig_params=False,
            device_id=device,
        )
        # Trainer takes a wrapped peft model on a quantised base for the base alone, unless it is told (transformers
        # 4.46 to 5.23: validate_quantization_for_training)
        wrapped._hf_peft_config_loaded = True
        return wrapped
    except (
        ValueError
    ) as error:  # FSDP's word for a layer of mixed dtypes; peft's for a class it does not find
        raise ModelError(f"FSDP cannot cut this model into shards: {str(error).splitlines()[0]}.") from None


def clip(model: Any, most: float) -> float:
    """The norm of the whole gradient, over all shards, before it is cut to `most` (0: it is not)."""
    return float(model.clip_grad_norm_(most or float("inf")))


class WholeAdapter:
    """The adapter's weights, gathered, with those two methods of a peft model by which it is saved and judged."""

    def __init__(self, inner: Any, tensors: Dict[str, torch.Tensor]) -> None:
        self.inner, self.tensors = inner, tensors

    def named_parameters(self) -> Iterator[Tuple[str, torch.nn.Parameter]]:
        """Every trained weight under the name it has in an unsharded model."""
        for name, tensor in self.tensors.items():
            yield name, torch.nn.Parameter(tensor)

    def save_pretrained(self, folder: str, **options: Any) -> None:
        """The two files that peft writes; peft 0.21 itself finds no adapter in a model that FSDP has wrapped."""
        from safetensors.torch import save_file

        from envdoc.train.checkpoint import ADAPTER_FILE
        from envdoc.train.model import ADAPTER
        from envdoc.train.verify import adapter_tensors

        config = self.inner.peft_config[ADAPTER]
        training, config.inference_mode = config.inference_mode, True
        config.save_pretrained(folder)
        config.inference_mode = training
        save_file(adapter_tensors(self), str(Path(folder) / ADAPTER_FILE), metadata={"format": "pt"})


def whole_adapter(model: Any) -> WholeAdapter:
    """Gather the adapter, unit by unit, on the CPU. Every rank must call it, and every rank gets it."""
    if world.here().stage:
        return WholeAdapter(model, zero.gathered(model))
    from torch.distributed.fsdp import FullyShardedDataParallel as Sharded

    tensors: Dict[str, torch.Tensor] = {}
    for path, unit in model.named_modules():
        inside = list(unit.modules())[1:]
        if not isinstance(unit, Sharded) or any(isinstance(module, Sharded) for module in inside):
            continue
        if not any(parameter.requires_grad for parameter in unit.parameters()):
            continue
        with Sharded.summon_full_params(unit, writeback=False):
            for name, parameter in unit.named_parameters():
                whole = f"{path}.{name}".replace(WRAPPED, "")
                tensors[whole] = parameter.detach().cpu().clone()
    return WholeAdapter(model.module, tensors)


def sharded(ready: Any) -> Any:
    """`ready` with its model in shards, where the engine cuts it up; what a checkpoint holds of the adapter is laid in
    before. Raises ConfigError, ModelError."""
    from envdoc.train import checkpoint

    check(ready.settings.model.quantization, ready.precision)
    if ready.checkpoint:
        checkpoint.load_adapter(ready.checkpoint, ready.model)
    if world.here().stage:
        config = zero.config_of(
            ready.settings, ready.model, ready.precision.dtype
        )  # its refusals before the weights
        return replace(ready, model=zero.cut(ready.model, config)) if world.sharded() else ready
    return replace(ready, model=wrap(ready.model, ready.precision.device))


def unsharded(ready: Any, done: Any, build: Callable[[Any], Any]) -> Any:
    """`ready` with a model in one piece, in rank 0: the base loaded anew, and the trained adapter on it, or the best
    one where `done`, the Outcome, says so.

    `build` makes base and fresh adapter for a Precision. Every rank must call this. A base that does not fit into one
    GPU is loaded into the machine's memory, where the adapter is judged more slowly.
    """
    from envdoc.train import checkpoint

    if not world.sharded():
        zero.let_go()
        return ready
    gathered = whole_adapter(ready.model)
    zero.let_go()
    if not world.is_main():
        return ready
    say("Loading the base model in one piece, to prove the adapter on it ...")
    world.enter(replace(world.here(), strategy="none", stage=0))
    precision = ready.precision
    ready = replace(ready, model=None)
    try:
        model = build(precision)
    except ModelError:
        if precision.device.type == "cpu":
            raise
        say("note: It does not fit into one GPU, so the adapter is proved on the CPU.")
        precision = replace(precision, device=torch.device("cpu"))
        model = build(precision)
    places = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if set(places) != set(gathered.tensors):
        strange = sorted(set(places) ^ set(gathered.tensors))
        raise ModelError(
            f"The adapter that was gathered from the shards is not that of the model: {strange[0]}."
        )
    with torch.no_grad():
        for name, tensor in gathered.tensors.items():
            places[name].copy_(tensor)
    if done.adapter_step != done.steps:
        checkpoint.load_adapter(ready.folder / f"{checkpoint.PREFIX}{done.adapter_step}", model)
    return replace(ready, model=model, precision=precision)
