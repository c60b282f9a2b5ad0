"""Is a LoRA on a float16 base float16 too, so that the GradScaler cannot unscale its gradients?"""

import _borrowed  # noqa: F401
import _tiny
import torch
from _verdict import raises

model = _tiny.lora(_tiny.llama().half(), ["q_proj", "v_proj"])


def step() -> str:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    scaler.scale(torch.ones(1))
    scaler.step(optimizer)
    return f"stepped with {trained[0].dtype} parameters"


raises(step, "Attempting to unscale FP16 gradients")
