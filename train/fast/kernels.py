"""Triton where torch has it, and where its kernels can run: on a GPU, or by its interpreter (TRITON_INTERPRET=1)."""

import contextlib
import os
from typing import Any, Callable, Set, Tuple

import torch

from envdoc.train.errors import first_line
from envdoc.train.progress import say

try:
    import triton
except ImportError:  # a CPU build of torch, or one without its compiler
    triton = None

SMALLEST = 16  # the shortest side of a product that a tensor core takes
# Tiles by rank, rows and columns: the fastest of nine shapes on an H200, 2026-11-30 (ranks 8 and 16).
NARROW, WIDE = (16, 256), (32, 128)
NARROW_RANK = 32  # up to which
MEASURED_ON = (9, 0)  # an H200, 2026-11-30
HERE = contextlib.nullcontext()
unfit: Set[str] = set()  # kernels that this Triton, or this GPU, did not take


def usable(tensor: torch.Tensor) -> bool:
    """True where a kernel can read this tensor."""
    return triton is not None and (tensor.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")


def is_measured(device: torch.device) -> bool:
    """True on the kind of GPU on which kernels were timed that may lose elsewhere. AMD counts its own (9, 0)."""
    return (
        device.type == "cuda"
        and not torch.version.hip
        and torch.cuda.get_device_capability(device) == MEASURED_ON
    )


def started(name: str, start: Callable[[], None]) -> bool:
    """Start these kernels. False, with one note and for good, where they cannot be compiled or do not fit here.

    They were run by few of the Tritons and GPUs that there are; for each there is a way by torch. Raises what memory
    that has run out raises, which says nothing of a kernel.
    """
    if name in unfit:
        return False
    try:
        start()
    except Exception as error:
        if "out of memory" in str(error).lower():
            raise
        unfit.add(name)
        say(
            f"note: {name} is computed by torch, since envdoc's kernel does not run here: {first_line(error)}"
        )
        return False
    return True


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
