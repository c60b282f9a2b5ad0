"""Gradient checkpointing in three forms: what is kept of the forward pass, and where.

    full        of each layer its input alone; the layer is computed a second time in the backward pass
    selective   the same for every second layer: half the memory saved, half the time lost. Keeping matrix products
                inside each layer instead (torch's selective policy) is no way here: fused layers write into them
    offload     as full, and the inputs lie in pinned memory of the CPU, sent off and fetched beside the computation;
                of a 7B model at 8,192 tokens that takes 2 GiB off the GPU. On a CPU it is full

transformers hands each layer to a function of ours, which is how a single layer can be treated by itself; a model with
code of its own that calls torch's function directly gets `full`.
"""

from typing import Any, Callable, List, Tuple, Union

import torch
from torch.utils.checkpoint import checkpoint

from envdoc.train import compat
from envdoc.train.fast import recomputed
from envdoc.train.fast.offload import Offload, owner_of

FUNCTION = "_gradient_checkpointing_func"
ONCE_MORE = {"use_reentrant": False, **recomputed.named(checkpoint)}


def enable(model: Any, kind: Union[bool, str], eight_bits: bool = False) -> Tuple[str, ...]:
    """Switch it on in the base `model`, before the adapter is laid (peft #1142); `kind` is a value of
    `train.gradient_checkpointing` other than `auto`. Returns notes."""
    if kind is False:
        return ()
    # bitsandbytes' 8-bit product keeps its input on its context, past the reach of checkpoint's hooks
    # (MatMul8bitLt, `ctx.tensors`): every layer's inputs stayed on the GPU, 2.5 MiB a token of a 7B model (H200,
    # bitsandbytes 0.50.2, 2026-11-30). The reentrant form runs the first pass without a graph, so nothing is kept.
    compat.enable_checkpointing(model, {"use_reentrant": True} if eight_bits else ONCE_MORE)
    if kind is True:
        return ()
    if eight_bits:
        return (f"Gradient checkpointing is full: 8-bit layers would keep their inputs with `{kind}`.",)
    places = [module for module in model.modules() if callable(getattr(module, FUNCTION, None))]
    if not places:
        return (f"Gradient checkpointing is full: this model's own code has no form for `{kind}`.",)
    ours: Callable[..., Any] = Selective(model).run if kind == "selective" else Offload().run
    for module in places:
        setattr(module, FUNCTION, ours)
    return ()


class Selective:
    """Checkpoints every second layer, beginning with the first."""

    def __init__(self, model: Any) -> None:
        self.kept = {id(layer) for layers in _stacks(model) for layer in layers[1::2]}

    def run(self, layer: Any, *inputs: Any, **named: Any) -> Any:
        """What transformers calls in place of the layer."""
        if id(owner_of(layer)) in self.kept:
            return layer(*inputs, **named)
        return checkpoint(layer, *inputs, **ONCE_MORE, **named)


def _stacks(model: Any) -> List[List[Any]]:
    """The lists of layers of one kind."""
    lists = [list(module) for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return [layers for layers in lists if len({type(layer) for layer in layers}) == 1]
