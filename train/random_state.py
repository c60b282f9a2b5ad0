"""The generators that training draws from: Python's, numpy's, torch's on the CPU and on this process's GPU."""

import random
from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy
import torch


@dataclass(frozen=True)
class RandomState:
    """All of them at one moment."""

    python: Tuple[Any, ...]
    numpy: Tuple[Any, ...]
    torch: torch.Tensor
    cuda: Optional[torch.Tensor]


def take() -> RandomState:
    """Remember the generators as they are now."""
    return RandomState(
        random.getstate(),
        tuple(numpy.random.get_state()),
        torch.random.get_rng_state(),
        torch.cuda.random.get_rng_state() if torch.cuda.is_available() else None,
    )


def put(state: RandomState) -> None:
    """Set the generators back; that of a GPU is left alone where the state was taken without one."""
    random.setstate(state.python)
    numpy.random.set_state(state.numpy)
    torch.random.set_rng_state(state.torch)
    if state.cuda is not None and torch.cuda.is_available():
        torch.cuda.random.set_rng_state(state.cuda)
