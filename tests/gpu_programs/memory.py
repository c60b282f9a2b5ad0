"""More memory than the GPU has; repaired: less."""

import os

import torch

free_bytes, _ = torch.cuda.mem_get_info()
layers = [torch.nn.Linear(4096, 4096) for _ in range(2)]
batch = torch.empty(free_bytes * 2 if os.environ["FAULT"] else 1 << 20, dtype=torch.uint8, device="cuda")
print(len(layers), batch.numel())
