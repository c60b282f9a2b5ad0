"""An 8-bit layer of bitsandbytes on the GPU, forward and backward, and an 8-bit optimizer; the variables break it."""

import bitsandbytes
import torch

layer = bitsandbytes.nn.Linear8bitLt(64, 64, has_fp16_weights=False).cuda()
rows = torch.randn(4, 64, device="cuda", dtype=torch.float16, requires_grad=True)
layer(rows).float().sum().backward()
weight = torch.nn.Parameter(torch.ones(64, 128, device="cuda"))
optimizer = bitsandbytes.optim.AdamW8bit([weight])
weight.grad = torch.ones_like(weight)
optimizer.step()
print(rows.grad.shape)
