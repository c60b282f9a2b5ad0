"""The adapter laid on the base: on which layers, and how it starts."""

from typing import Any, Dict, List, Optional, Tuple, Union

import torch

from envdoc.train import compat, starts
from envdoc.train.config import Lora, Model, Run
from envdoc.train.errors import ConfigError, ModelError, first_line
from envdoc.train.estimate.families import ATTENTION_ONLY
from envdoc.train.fast import eight_bits
from envdoc.train.fast.checkpointing import enable
from envdoc.train.model import ADAPTER
from envdoc.train.parallel import world
from envdoc.train.progress import say

HEADS = ("lm_head", "embed_out", "output_layer", "score")
ROUTERS = ("gate", "router")  # which expert a token goes to: a low-rank nudge there unbalances the experts


def prepare(base: Any, model: Model, checkpointing: Union[bool, str]) -> Any:
    """The base ready to carry an adapter: frozen, its inputs with gradients where it recomputes activations.

    `full` casts what a quantised base left in 16 bits (embeddings, norms, head) to fp32, as the recipes of 2023 do;
    the hidden states are then fp32 too. `lean` casts nothing: transformers' RMSNorms compute in fp32 by themselves and
    LayerNorm does under autocast, and a frozen 16-bit weight gains no bit by it.
    """
    if model.quantization != "none":
        if model.preparation != "lean" and not world.sharded():  # FSDP: fp32 norms and 4 bits share no buffer
            base = compat.prepare_quantised(base)
        else:
            base.requires_grad_(False)
        eight_bits.forget_inputs(base)
    for note in enable(base, checkpointing, eight_bits=model.quantization == "8bit"):
        say(f"note: {note}")
    return base


def lay_adapter(base: Any, run: Run, resumed: bool = False) -> Any:
    """The base with a LoRA adapter on it; only the adapter trains, and it does so in fp32.

    `resumed` says that a checkpoint's weights will be laid in, so that a costly start need not be computed.
    """
    from peft import LoraConfig, get_peft_model

    lora = run.lora
    base = prepare(base, run.model, run.train.gradient_checkpointing)
    names, conv1d = named_targets(base, lora.targets) if isinstance(lora.targets, tuple) else find_targets(
        base, every=lora.targets == "all"
    )  # fmt: skip
    if lora.dora and run.model.quantization == "8bit" and base.device.type == "cpu":
        # Its second forward pass finds no scales: 'NoneType' object has no attribute 'unsqueeze' (peft 0.21.2,
        # bitsandbytes 0.50.2; on a GPU the weight is not moved, and they stay).
        raise ConfigError(
            "`lora.dora` is true, `model.quantization` is 8bit, and the run computes on a CPU, where peft loses the "
            "scales of 8-bit weights.",
            "Use `model.quantization=4bit` or `none`.",
        )
    if conv1d and lora.init == "olora":
        raise ConfigError(
            "`lora.init` is olora, which peft computes wrongly for this base: its layers are Conv1D, whose weights "
            "are transposed.",
            "Use `lora.init=pissa` or `lora.init=default`.",
        )
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=names,
        fan_in_fan_out=conv1d,  # GPT-2's Conv1D keeps its weight transposed (peft #324)
        bias="none",
        use_dora=lora.dora,
        use_rslora=lora.rslora,
        init_lora_weights=_init(lora),
    )
    try:
        model = get_peft_model(base, config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"peft {compat.version_of('peft')} cannot lay this adapter on the base: {first_line(error)}"
        ) from None
    if lora.from_base:
        starts.take_out(model, lora.init, resumed)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            # GradScaler refuses fp16 gradients; bf16 loses small updates
            parameter.data = parameter.data.float()
    return model


def _init(lora: Lora) -> Any:
    """peft's own word; what moves the base is done by starts.py, after peft's plain start."""
    return lora.init if lora.init in ("gaussian", "orthogonal") else True


def find_targets(base: Any, every: bool = False) -> Tuple[List[str], bool]:
    """The names of the linear layers to adapt, shortest form, and whether they are Conv1D.

    All but head and routers, or, unless `every`, what ATTENTION_ONLY says of the model's family. `q_proj`, `c_attn`
    (GPT-2), `query_key_value` (GPT-NeoX, ChatGLM)...: the last part of the path, or the whole path where the last
    part is a number or also names a layer that must stay out.
    """
    layers = _linear_layers(base)
    out = _left_out(base, layers)
    fewer = () if every else ATTENTION_ONLY.get(getattr(base.config, "model_type", ""), ())
    if fewer:
        layers = {path: kind for path, kind in layers.items() if path.split(".")[-1] in fewer} or layers
    kept = {path: kind for path, kind in layers.items() if path not in out}
    if not kept:
        raise ModelError(
            "The base model has no linear layer to adapt.", "Name its modules with `lora.targets`."
        )
    taken = {path.split(".")[-1] for path in out}
    names = {
        path if path.split(".")[-1].isdigit() or path.split(".")[-1] in taken else path.split(".")[-1]
        for path in kept
    }
    return sorted(names), all(kept.values())


def named_targets(base: Any, targets: Tuple[str, ...]) -> Tuple[List[str], bool]:
    """The targets that the run names. Raises ConfigError where one of them is no linear layer of this base."""
    layers = _linear_layers(base)
    kinds = []
    for target in targets:
        found = [kind for path, kind in layers.items() if path == target or path.endswith(f".{target}")]
        if not found:
            raise ConfigError(
                f"`lora.targets` names `{target}`, and no linear layer of the base model is called that.",
                f"It has: {', '.join(find_targets(base, every=True)[0])}.",
            )
        kinds += found
    return sorted(targets), all(kinds)


def notes(model: Any) -> List[str]:
    """What the adapter leaves as it is although one might think otherwise, in sentences."""
    fused = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() == 3)
    if not fused:
        return []
    whole = int(model.get_nb_trainable_parameters()[1])
    return [
        f"The experts of this model are fused into three-dimensional weights, which are no linear layers: "
        f"{fused:,} of {whole:,} parameters stay as they are; the adapter is on the layers around them."
    ]


def trainable(model: Any) -> Tuple[int, int]:
    """How many parameters train, and how many there are (quantised ones counted unpacked)."""
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return trained, int(model.get_nb_trainable_parameters()[1])


def described(model: Any, lora: Lora) -> str:
    """The adapter in words: `rsLoRA r=8, alpha=16, begun by pissa, on q_proj, v_proj`."""
    kind = ("rs" if lora.rslora else "") + ("DoRA" if lora.dora else "LoRA")
    start = "" if lora.init == "default" else f", begun by {lora.init},"
    targets = ", ".join(sorted(model.peft_config[ADAPTER].target_modules))
    return f"{kind} r={lora.r}, alpha={lora.alpha}{start} on {targets}"


def _linear_layers(base: Any) -> Dict[str, bool]:
    """Path of each linear layer, and whether it is a Conv1D. bitsandbytes' layers are nn.Linear's children."""
    from transformers.pytorch_utils import Conv1D

    return {
        path: isinstance(module, Conv1D)
        for path, module in base.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D))
    }


def _left_out(base: Any, layers: Dict[str, bool]) -> List[str]:
    try:
        head: Optional[Any] = base.get_output_embeddings()
    except (AttributeError, RuntimeError):  # remote code may lack it or refuse
        head = None
    return [
        path
        for path, module in base.named_modules()
        if path in layers and (module is head or path.split(".")[-1] in HEADS + ROUTERS)
    ]
