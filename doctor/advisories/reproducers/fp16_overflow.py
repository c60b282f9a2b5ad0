"""Activations beyond 65504, as models that were trained in bfloat16 have them: nan in float16, a number in bfloat16."""

import _borrowed
import _tiny
import torch
from _verdict import finish


def loss(dtype: torch.dtype) -> float:
    model = _tiny.llama()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(3e6)
    model.to(dtype)
    return float(model(input_ids=_tiny.tokens(), labels=_tiny.tokens()).loss)


_borrowed.cured(lambda: loss(torch.bfloat16) > 0, True)
value = loss(torch.float16)
finish(not 0 < value < float("inf"), f"loss {value} in float16, a number in bfloat16")
