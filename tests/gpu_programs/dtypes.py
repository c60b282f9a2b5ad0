"""Weights in half precision meet single precision; repaired: both are half."""

import os

import torch

layer = torch.nn.Linear(8, 8).cuda().half()
rows = torch.ones(2, 8, device="cuda", dtype=torch.float32 if os.environ["FAULT"] else torch.float16)
print(layer(rows).sum())
