"""A base of random weights on the device, from config.json alone: of any depth, quantised in place, and no file."""

import json
from pathlib import Path
from typing import Any

import torch

from envdoc.train import adapters, compat
from envdoc.train.config import Model
from envdoc.train.errors import ModelError, first_line
from envdoc.train.estimate.families import KEYS
from envdoc.train.model import Precision

# Of LLM.int8(): columns of its input that hold a larger number are multiplied in 16 bits, and kept in them for the way
# back. In a trained model they are few; with all of down_proj's among them, as in a 7B and a 3B of weights as they are
# drawn, passes took 7 to 11% more memory than the closed form says, and none of a 1.5B did (H200, 2026-12-01).
THRESHOLD = 6.0
CALM = 0.3  # the spread of what a drawn 8-bit layer makes of normed numbers


def config_of(path: Path, layers: int, model: Model) -> Any:
    """transformers' configuration of that folder or config.json, cut to so many layers. Raises ModelError."""
    from transformers import AutoConfig

    folder = path if path.is_dir() else path.parent
    try:
        if path.is_dir() or path.name == "config.json":
            config = AutoConfig.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=model.trust_remote_code
            )
        else:
            described = json.loads(path.read_text(encoding="utf-8"))
            config = AutoConfig.for_model(described.pop("model_type"), **described)
    except Exception as error:  # whatever a loader raises
        raise ModelError(f"`{path}` cannot be made a model of: {first_line(error)}") from None
    for key in KEYS["layers"]:
        if isinstance(getattr(config, key, None), int):
            setattr(config, key, layers)
    if getattr(config, "layer_types", None):  # one word for each layer
        config.layer_types = list(config.layer_types)[:layers]
    config.use_cache = False
    return config


def draw(config: Any, model: Model, precision: Precision) -> Any:
    """The frozen base, as `model.load_base` gives it but for its numbers. Raises ModelError."""
    kind = compat.remote_class(config)
    try:
        with torch.device(precision.device):
            base = kind.from_config(
                config,
                trust_remote_code=model.trust_remote_code,
                **compat.dtype_argument(precision.torch_dtype),
            )
    except compat.out_of_memory():
        raise
    except Exception as error:
        raise ModelError(f"transformers cannot make this model: {first_line(error)}") from None
    base.to(precision.torch_dtype)
    if model.quantization in ("8bit", "4bit"):
        _quantise(base, model.quantization, precision)
    return base


def _quantise(base: Any, kind: str, precision: Precision) -> None:
    """Each linear layer but the head, one after another, as transformers' loader does with bitsandbytes."""
    from transformers.pytorch_utils import Conv1D

    head = base.get_output_embeddings()
    if any(isinstance(module, Conv1D) for module in base.modules()):
        raise ModelError("GPT-2's transposed layers are quantised by transformers' loader alone.")
    for module in list(base.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear and child is not head and name not in adapters.HEADS:
                made = _eight_bits(child) if kind == "8bit" else _four_bits(child, precision)
                made.bias = child.bias
                setattr(module, name, made.requires_grad_(False))
    base.is_loaded_in_8bit, base.is_loaded_in_4bit = kind == "8bit", kind == "4bit"


def _eight_bits(plain: torch.nn.Linear) -> Any:
    import bitsandbytes as bnb

    compat.eight_bit_state()
    bits, scales = compat.eight_bit_rows(plain.weight.data.to(torch.float16))
    # Weights as they are drawn let some number of nearly every column of a gated MLP's product pass the threshold.
    scales = scales * float(CALM / (plain.weight.float().std() * plain.in_features**0.5 + 1e-12))
    made = bnb.nn.Linear8bitLt(
        plain.in_features,
        plain.out_features,
        bias=False,
        has_fp16_weights=False,
        threshold=THRESHOLD,
        device="meta",
    )
    made.weight = bnb.nn.Int8Params(bits, requires_grad=False, has_fp16_weights=False, CB=bits, SCB=scales)
    return made


def _four_bits(plain: torch.nn.Linear, precision: Precision) -> Any:
    import bitsandbytes as bnb

    made = bnb.nn.Linear4bit(
        plain.in_features, plain.out_features, bias=False, compute_dtype=precision.torch_dtype,
        compress_statistics=True, quant_type="nf4", device="meta",
    )  # fmt: skip
    weight = bnb.nn.Params4bit(
        plain.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True, module=made
    )
    made.weight = weight.to(precision.device)
    return made
