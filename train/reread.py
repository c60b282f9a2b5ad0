"""What was just written, read back from the disk and compared with memory, before anything older is removed."""

import os
from pathlib import Path
from typing import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file


class Unfaithful(Exception):
    """A file does not hold what was to be written; says what differs."""


def check_file(path: Path, memory: Mapping[str, torch.Tensor]) -> None:
    """Raises Unfaithful where the file's names, dtypes, shapes or bytes are not those of `memory`.

    Flush the file first: then its pages can be dropped from the cache, and the disk itself answers.
    """
    drop_cached(path)
    try:
        file = load_file(str(path))
    except SafetensorError as error:
        raise Unfaithful(f"{path.name} cannot be read back ({error})") from None
    if set(file) != set(memory):
        missing, strange = set(memory) - set(file), set(file) - set(memory)
        raise Unfaithful(
            f"{path.name} holds {len(file)} tensors in place of {len(memory)}"
            + (f"; {sorted(missing)[0]} is missing" if missing else f"; {sorted(strange)[0]} is none of them")
        )
    for name, tensor in memory.items():
        here, there = tensor.detach().cpu().contiguous(), file[name]
        if (here.dtype, here.shape) != (there.dtype, there.shape):
            raise Unfaithful(
                f"{name} in {path.name} is {there.dtype} {tuple(there.shape)} in place of "
                f"{here.dtype} {tuple(here.shape)}"
            )
        if not torch.equal(_bytes(here), _bytes(there)):
            raise Unfaithful(f"{name} in {path.name} reads back with other values than were written")


def drop_cached(path: Path) -> None:
    """Ask the system to forget the file's pages; it keeps those that are not on the disk yet."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)  # NaN equals itself there, and -0.0 differs from 0.0
