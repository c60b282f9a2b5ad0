"""A sequence longer than the position table of the model; cut to its length it runs."""

import _borrowed
import _tiny
import torch
from _verdict import raises

model = _tiny.gpt2()  # 64 positions


def forward(length: int) -> str:
    model(input_ids=torch.ones(1, length, dtype=torch.long))
    return "ran"


_borrowed.cured(lambda: forward(64), "ran")
raises(lambda: forward(65), "index out of range in self")
