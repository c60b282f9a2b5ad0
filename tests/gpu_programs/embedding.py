"""A token id beyond the embedding; repaired: the last one that is in it."""

import os

import torch

table = torch.nn.Embedding(320, 16).cuda()
ids = torch.tensor([[1, 320 if os.environ["FAULT"] else 319]], device="cuda")
print(float(table(ids).sum().cpu()))
