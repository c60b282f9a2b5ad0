"""Triton where torch has it, and where its kernels can run: on a GPU, or by its interpreter (TRITON_INTERPRET=1)."""

import contextlib
import os
from typing import Any, Tuple

import torch

try:
    import triton
except ImportError:  # a CPU build of torch, or one without its compiler
    triton = None

SMALLEST = 16  # the shortest side of a product that a tensor core takes
# Tiles by rank, rows and columns: the fastest of nine shapes on an H200, 2026-11-30 (ranks 8 and 16).
NARROW, WIDE = (16, 256), (32, 128)
NARROW_RANK = 32  # up to which
HERE = contextlib.nullcontext()


def usable(tensor: torch.Tensor) -> bool:
    """True where a kernel can read this tensor."""
    return triton is not None and (tensor.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")


def on_device_of(tensor: torch.Tensor) -> Any:
    """A context in which kernels are started on the tensor's device."""
    if not tensor.is_cuda or tensor.get_device() == torch.cuda.current_device():
        return HERE
    return torch.cuda.device(tensor.device)


def grid(y: torch.Tensor, rank: int) -> Any:
    """A program for each tile of a matrix."""
    rows, columns = _shape(rank)
    return triton.cdiv(y.shape[0], rows), triton.cdiv(y.shape[1], columns)


def tile(rank: int) -> Any:
    """What the kernels over tiles are compiled for; a rank is filled up with zeros."""
    rows, columns = _shape(rank)
    filled = max(SMALLEST, triton.next_power_of_2(rank))
    return {"RANK": filled, "ROWS": rows, "COLUMNS": columns, "num_warps": 4}


def _shape(rank: int) -> Tuple[int, int]:
    return NARROW if rank <= NARROW_RANK else WIDE
