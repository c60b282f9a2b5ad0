"""Which LoRA layers of a model are computed together, put in place and taken back. The numbers stay peft's.

A layer stays peft's own where it is more than W x + s B A x: DoRA, a bias in the adapter, GPT-2's Conv1D, LLM.int8,
an adapter of another name. Only `forward` of the instances is replaced; weights, names and files are as before.
"""

from collections import Counter
from functools import partial
from typing import Any, Dict, List, Optional, Set, Tuple

import torch

from envdoc.train.fast import copies, frozen, layer, mlp, rotary
from envdoc.train.fast.copies import Copies
from envdoc.train.fast.lora import ADAPTER, Group

# Layers that transformers' models call with one and the same input. Only a guess that pays: Group looks at the input.
SHARED = (
    ("q_proj", "k_proj", "v_proj"),
    ("gate_proj", "up_proj"),
    ("query", "key", "value"),
    ("w1", "w3"),
)


def fuse(model: Any) -> Tuple[str, ...]:
    """Replace the forward of LoRA layers by that of their group. Returns a note for what stays peft's own."""
    left: Counter = Counter()
    fit = {}
    for module in model.modules():
        if hasattr(module, "lora_A"):
            reason = _reason(module)
            if reason is None:
                fit[id(module)] = module
            else:
                left[reason] += 1
    taken: Set[int] = set()
    laid: List[Copies] = []
    for parent in list(model.modules()):
        named = dict(parent.named_children())
        if all(id(named.get(name)) in fit for name in mlp.LAYERS) and mlp.can_be_fused(parent):
            gated = mlp.GatedMlp(parent)
            parent.forward = gated.forward
            laid += [gated.rise_copies, gated.fall_copies]
            taken.update(id(named[name]) for name in mlp.LAYERS)
        for layers in _groups(named, fit, taken):
            # Only what q, k and v read comes from a norm that leaves room, and only one group may write there.
            group = Group(layers, beside=layers[0] is named.get("q_proj"))
            laid.append(group.copies)
            for place, child in enumerate(layers):
                child.forward = partial(group.forward, place)
                taken.add(id(child))
    for module in list(model.modules()):
        found = layer.of(module)
        if found is not None:
            module.forward = found.forward
    copies.lay(model, laid)
    rotary.replace(model)
    return tuple(
        f"{count} LoRA layer{'s' if count > 1 else ''} stay{'' if count > 1 else 's'} as peft computes them: {reason}."
        for reason, count in left.items()
    )


def unfuse(model: Any) -> None:
    """Every layer as peft and transformers compute it."""
    rotary.restore()
    copies.undo(model)
    for module in model.modules():
        ours = module.__dict__.get("forward")
        owner = getattr(getattr(ours, "func", ours), "__self__", None)
        if isinstance(owner, (Group, mlp.GatedMlp, layer.Layer)):
            del module.forward


def _groups(named: Dict[str, Any], fit: Dict[int, Any], taken: Set[int]) -> List[List[Any]]:
    """The children that go together, and each other one by itself."""
    free = {name: child for name, child in named.items() if id(child) in fit and id(child) not in taken}
    groups = []
    for names in SHARED:
        together = [free[name] for name in names if name in free]
        if len({_inputs(layer) for layer in together}) == 1:
            groups.append(together)
            free = {name: child for name, child in free.items() if name not in names}
    return groups + [[child] for child in free.values()]


def _inputs(layer: Any) -> Tuple[int, float]:
    dropout = layer.lora_dropout[ADAPTER]
    return layer.in_features, getattr(dropout, "p", 0.0)


def _reason(layer: Any) -> Optional[str]:
    """Why a LoRA layer stays peft's own, as part of a sentence; None where it may be fused."""
    base = layer.get_base_layer()
    if set(layer.lora_A) != {ADAPTER} or list(layer.active_adapters) != [ADAPTER]:
        return "they carry another adapter than the one that is trained"
    if getattr(layer, "use_dora", {}).get(ADAPTER) or getattr(layer, "lora_variant", {}).get(ADAPTER):
        return "a variant such as DoRA does more than add a product"
    if getattr(layer.lora_B[ADAPTER], "bias", None) is not None or getattr(layer, "fan_in_fan_out", False):
        return "their adapter has a bias, or their weight is transposed"
    if not isinstance(layer.lora_dropout[ADAPTER], (torch.nn.Identity, torch.nn.Dropout)):
        return "their dropout is not the usual one"
    if not frozen.is_plain(base):
        return f"their base is a {type(base).__name__}"
    return None


def is_fused(model: Any) -> bool:
    """True where at least one module's forward is replaced."""
    return any("forward" in module.__dict__ for module in model.modules())
