"""3, after it: can an adapter of GPT-2 (Conv1D) be merged, and is the merged model the trained one?"""

import _borrowed  # noqa: F401
import _tiny
import torch
from _verdict import raises

model = _tiny.lora(_tiny.gpt2(), ["c_attn"], fan_in_fan_out=True)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.2)
trained = _tiny.logits(model)


def merge() -> str:
    merged = _tiny.logits(model.merge_and_unload())
    assert torch.allclose(merged, trained, atol=1e-3)
    return "the merged model has the trained logits"


raises(merge, "GPT2 models are not supported for merging LORA layers")
