"""A model whose own parameters are float16 is trained under a GradScaler; with float32 parameters the step is made."""

import _borrowed
import _tiny
import torch
from _verdict import raises


def step(dtype: torch.dtype) -> str:
    model = _tiny.llama().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=_tiny.tokens(), labels=_tiny.tokens()).loss
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    return "stepped"


_borrowed.cured(lambda: step(torch.float32), "stepped")
raises(lambda: step(torch.float16), "Attempting to unscale FP16 gradients")
