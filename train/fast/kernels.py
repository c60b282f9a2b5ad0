"""Triton where torch has it, and where its kernels can run: on a GPU, or by its interpreter (TRITON_INTERPRET=1)."""

import contextlib
import os
from typing import Any

import torch

try:
    import triton
except ImportError:  # a CPU build of torch, or one without its compiler
    triton = None

ROWS, COLUMNS = 32, 128  # of a tile. The fastest of eight shapes on an H200, 2026-11-30
SMALLEST = 16  # the shortest side of a product that a tensor core takes


def usable(tensor: torch.Tensor) -> bool:
    """True where a kernel can read this tensor."""
    return triton is not None and (tensor.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")


def on_device_of(tensor: torch.Tensor) -> Any:
    """A context in which kernels are started on the tensor's device."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def grid(y: torch.Tensor) -> Any:
    """A program for each tile of a matrix."""
    return triton.cdiv(y.shape[0], ROWS), triton.cdiv(y.shape[1], COLUMNS)


def tile(rank: int) -> Any:
    """What the kernels over tiles are compiled for; a rank is filled up with zeros."""
    filled = max(SMALLEST, triton.next_power_of_2(rank))
    return {"RANK": filled, "ROWS": ROWS, "COLUMNS": COLUMNS, "num_warps": 4}
