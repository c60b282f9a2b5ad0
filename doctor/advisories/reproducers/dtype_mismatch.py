"""A half base whose norms were raised to float32, as recipes do, without autocast; under autocast it runs."""

import contextlib

import _borrowed
import _tiny
import torch
from _verdict import raises

model = _tiny.llama().to(torch.bfloat16)
for parameter in model.parameters():
    if parameter.ndim == 1:
        parameter.data = parameter.data.float()


def forward(context: contextlib.AbstractContextManager) -> str:
    with context:
        model(input_ids=_tiny.tokens())
    return "ran"


_borrowed.cured(lambda: forward(torch.autocast("cpu", dtype=torch.bfloat16)), "ran")
raises(lambda: forward(contextlib.nullcontext()), "(?i)same dtype|expected scalar type")
