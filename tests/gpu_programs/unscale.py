"""Trainable weights in half precision under a gradient scaler; repaired: in single precision."""

import os

import torch

layer = torch.nn.Linear(8, 8).cuda()
if os.environ["FAULT"]:
    layer = layer.half()
optimizer = torch.optim.AdamW(layer.parameters())
scaler = torch.amp.GradScaler("cuda")
with torch.autocast("cuda", dtype=torch.float16):
    loss = layer(torch.ones(2, 8, device="cuda", dtype=next(layer.parameters()).dtype)).float().pow(2).mean()
scaler.scale(loss).backward()
scaler.unscale_(optimizer)
torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
scaler.step(optimizer)
print("stepped")
