"""FSDP over a layer of two dtypes; of one dtype it is flattened."""

import _borrowed
import torch
from _one_rank import start
from _verdict import raises
from torch.distributed.fsdp import FullyShardedDataParallel

start()


def wrap(second: torch.dtype) -> str:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4).to(second))
    FullyShardedDataParallel(model, device_id=torch.device("cpu"))
    return "wrapped"


_borrowed.cured(lambda: wrap(torch.float32), "wrapped")
raises(lambda: wrap(torch.bfloat16), "Must flatten tensors with uniform dtype|uniform dtype")
