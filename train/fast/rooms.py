"""Room behind the rows of a matrix: columns in memory that are no part of it, where a low-rank part can be laid.

x W^T + h B^T is one product, [x | h] [W | B]^T, once h lies behind x in memory; and dy W + dh A is [dy | dh] [W; A].
What makes x or dy leaves the room, and whoever multiplies it finds it by the tensor's own measures: autograd hands
tensors on, and nothing else.
"""

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:  # the estimate reads this file where no torch is installed
    import torch

ROOM = 64  # columns: one more step of a matrix unit's loop, and rows that begin at whole lines of memory
EDGE = 8  # columns that a product is filled up to, which its kernels read at once


def wide(rows: int, columns: int, like: "torch.Tensor") -> "torch.Tensor":
    """(rows, columns + ROOM), nothing written yet; its first `columns` are the matrix.

    Zeros on a CPU: a bf16 product by AMX (torch 2.13) reads whole tiles of columns, and what lies behind its own ones
    times zero is NaN where memory happened to hold one. A GPU's products read their own columns and no others.
    """
    new = like.new_zeros if like.device.type == "cpu" else like.new_empty
    return new(rows, columns + ROOM)


def leave(x: "torch.Tensor") -> "torch.Tensor":
    """As `empty_like` a (..., columns) with its rows apart."""
    columns = x.shape[-1]
    return wide(x.numel() // columns, columns, x)[:, :columns].view(x.shape)


def of(x: "torch.Tensor") -> Optional["torch.Tensor"]:
    """(rows, columns + ROOM) in the memory of x (..., columns); None for whatever was not made here.

    A stranger's slice of a wider matrix has other measures, or begins elsewhere, or does not end its storage.
    """
    if x.dim() < 2 or x.storage_offset() or x.numel() == 0:
        return None
    columns = x.shape[-1]
    step, rows = columns + ROOM, x.numel() // columns
    if x.untyped_storage().nbytes() != rows * step * x.element_size() or x.stride(-1) != 1:
        return None
    dense = step
    for size, stride in zip(reversed(x.shape[:-1]), reversed(x.stride()[:-1])):
        if size > 1 and stride != dense:
            return None
        dense *= size
    # `data`: to write beside x is no change of x, which others have kept for their backward pass.
    return x.data.as_strided((rows, step), (step, 1))


def behind(whole: Optional["torch.Tensor"], ranks: int) -> Optional["torch.Tensor"]:
    """(rows, ranks), the room's first columns; None where there is no room, or less."""
    if whole is None or ranks > ROOM:
        return None
    left = whole.shape[1] - ROOM
    return whole[:, left : left + ranks]


def filled(ranks: int) -> int:
    """The columns that a low-rank part takes of the room."""
    return -(-ranks // EDGE) * EDGE


def clear(whole: "torch.Tensor", columns: int, ranks: int) -> None:
    """Zeros in the columns between the ranks and what they are filled up to."""
    if filled(ranks) > ranks:
        whole[:, columns + ranks : columns + filled(ranks)].zero_()
