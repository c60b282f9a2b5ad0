"""3: with one LoRA target, does the adapter move all of a fused Linear's output? Below peft 0.3 it did not."""

import _borrowed  # noqa: F401
import _tiny
import torch
from _verdict import finish

model = _tiny.lora(_tiny.neox(), ["query_key_value"])
layer = next(
    module for name, module in model.named_modules() if name.endswith("layers.0.attention.query_key_value")
)
inputs = torch.randn(2, 5, _tiny.WIDTH)
model.eval()
with torch.no_grad():
    before = layer(inputs).clone()
    for name, parameter in layer.named_parameters():
        if "lora_B" in name:
            parameter.normal_()
    after = layer(inputs)
moved = [bool((new - old).abs().max() > 1e-6) for old, new in zip(before.chunk(3, -1), after.chunk(3, -1))]
finish(moved != [True] * 3, f"{type(layer).__name__}: thirds of the output that LoRA moves: {moved}")
