"""Starts that take the base's own largest components into the adapter (PiSSA, OLoRA), without touching the base.

peft subtracts the start from the base's weights, W - s B0 A0, so that W is what the model computes before the first
update. An adapter saved from such a base is real only on that changed base, which nobody has; and the subtraction is
rounded to the base's dtype, so that turning back does not give W again. Here the base stays W, and the subtraction is
a second, frozen adapter beside the trained one, s (-B0) A0: the same sum, rounded once less. What is saved, in every
checkpoint too, is both as one plain LoRA of twice the rank, [B, -B0] [A; A0], which loads on the original base with any
peft, and from which a resumed run takes both parts back bit by bit.
"""

import math
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import torch

from envdoc.train.model import ADAPTER
from envdoc.train.progress import say

START = "start"  # the frozen adapter's name

Tensors = Dict[str, torch.Tensor]


def take_out(model: Any, init: str, resumed: bool) -> None:
    """Give the adapter its start, and lay the frozen one, of the same size and the other sign, beside it.

    `resumed`: both will be laid in from a checkpoint, so nothing is decomposed.
    """
    from peft import LoraConfig

    told = model.peft_config[ADAPTER]
    model.add_adapter(
        START,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=told.r,
            lora_alpha=told.lora_alpha,
            lora_dropout=0.0,  # what is subtracted must not waver
            target_modules=told.target_modules,
            fan_in_fan_out=told.fan_in_fan_out,
            bias="none",
            use_rslora=told.use_rslora,
        ),
    )
    layers = list(_layers(model))
    if not resumed:
        say(f"Decomposing {len(layers)} weights of the base ({init}) ...")
    with torch.no_grad():
        for layer in layers:
            if not resumed:
                _decompose(layer, init)
            for part in (layer.lora_A, layer.lora_B):
                part[START].weight.data = part[ADAPTER].weight.data.float().clone()
            layer.lora_B[START].weight.data.neg_()
    model.base_model.set_adapter([ADAPTER, START])
    for layer in layers:
        for part in (layer.lora_A, layer.lora_B):
            part[START].weight.requires_grad_(False)


def is_split(model: Any) -> bool:
    """True for a model whose adapter is trained beside a frozen start."""
    return START in getattr(model, "peft_config", {})  # shards.WholeAdapter has none


def joined(model: Any) -> Tuple[Tensors, Any]:
    """Both adapters as one: its tensors under the names of a file, and its peft config."""
    from envdoc.train.verify import adapter_tensors

    trained, frozen = adapter_tensors(model), adapter_tensors(model, START)
    tensors = {
        name: torch.cat([tensor, frozen[name]], dim=_rank_dimension(name)) for name, tensor in trained.items()
    }
    return tensors, _joined_config(model)


def saved_tensors(model: Any) -> Tensors:
    """The adapter's weights in memory in the form, and under the names, that its file has."""
    from envdoc.train.verify import adapter_tensors

    return joined(model)[0] if is_split(model) else adapter_tensors(model)


def save(model: Any, folder: Path) -> None:
    """Write the joined adapter as peft would. Raises OSError, SafetensorError."""
    from safetensors.torch import save_file

    from envdoc.train.checkpoint import ADAPTER_FILE

    tensors, config = joined(model)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, str(folder / ADAPTER_FILE), metadata={"format": "pt"})


def load(model: Any, tensors: Tensors) -> List[str]:
    """Lay a joined adapter's halves into both adapters; the names that found no place come back."""
    from peft import set_peft_model_state_dict

    unknown = []
    for place, adapter in enumerate((ADAPTER, START)):
        half = {
            name: tensor.chunk(2, dim=_rank_dimension(name))[place].contiguous()
            for name, tensor in tensors.items()
        }
        unknown += set_peft_model_state_dict(model, half, adapter_name=adapter).unexpected_keys
    return unknown


def settle(model: Any) -> None:
    """After training: make the two adapters one in memory too, just as it is saved."""
    if not is_split(model):
        return
    with torch.no_grad():
        for layer in _layers(model):
            a = torch.cat([layer.lora_A[ADAPTER].weight, layer.lora_A[START].weight], dim=0)
            b = torch.cat([layer.lora_B[ADAPTER].weight, layer.lora_B[START].weight], dim=1)
            layer.lora_A[ADAPTER], layer.lora_B[ADAPTER] = _linear(a), _linear(b)
            layer.r[ADAPTER] *= 2
    config = _joined_config(model)
    model.peft_config[ADAPTER] = config
    for layer in _layers(model):
        layer.lora_alpha[ADAPTER] = config.lora_alpha
    model.delete_adapter(START)
    model.base_model.set_adapter(ADAPTER)


def _joined_config(model: Any) -> Any:
    """The config of twice the rank and the same scale, alpha / r or alpha / sqrt(r)."""
    import copy

    config = copy.deepcopy(model.peft_config[ADAPTER])
    config.r *= 2
    config.lora_alpha *= math.sqrt(2) if config.use_rslora else 2
    config.inference_mode = True
    return config


def _layers(model: Any) -> Iterator[Any]:
    from peft.tuners.lora import LoraLayer

    return (
        module for module in model.modules() if isinstance(module, LoraLayer) and ADAPTER in module.lora_A
    )


def _decompose(layer: Any, init: str) -> None:
    """peft's own start of one layer, whose weight is then put back, bit by bit."""
    base = layer.get_base_layer()
    kept, data = base.weight, base.weight.data.clone()
    if init == "olora":
        layer.olora_init(ADAPTER)
    else:
        layer.pissa_init(ADAPTER, init)
    base.weight = kept
    kept.data = data


def _linear(weight: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight.contiguous())
    return layer


def _rank_dimension(name: str) -> int:
    return 0 if "lora_A" in name else 1
