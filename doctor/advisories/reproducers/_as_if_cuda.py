"""torch answers as it would on a GPU machine: for libraries that choose their files by what torch says."""

from typing import Tuple

import torch


def torch_says(cuda: str = "", hip: str = "", capability: Tuple[int, int] = (8, 0)) -> None:
    """From here on torch was built for that CUDA (or HIP) and sees one GPU."""
    torch.version.cuda = cuda or None
    torch.version.hip = hip or None
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_capability = lambda device=None: capability
