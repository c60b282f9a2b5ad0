"""NCCL's start, which needs a network interface even for one process; the variables name one that is not there."""

import os

import torch
import torch.distributed as dist

os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29611", RANK="0", WORLD_SIZE="1")
dist.init_process_group("nccl")
rows = torch.ones(8, device="cuda")
dist.all_reduce(rows)
torch.cuda.synchronize()
print(rows.sum())
dist.destroy_process_group()
