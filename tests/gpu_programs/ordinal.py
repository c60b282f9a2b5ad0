"""A rank takes a GPU that is not there; repaired: it takes one that is."""

import os

import torch

rank = torch.cuda.device_count() + 1 if os.environ["FAULT"] else 0
torch.cuda.set_device(rank)
print(torch.ones(2, device=f"cuda:{rank}").sum())
