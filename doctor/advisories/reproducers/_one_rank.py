"""A process group of one rank over gloo and a file: what DDP and FSDP need to be seen without GPUs."""

from pathlib import Path

import torch.distributed as dist


def start() -> None:
    """Start it, in the working folder."""
    store = Path("store").resolve().as_uri()
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
