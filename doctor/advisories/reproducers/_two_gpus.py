"""Two GPUs of one name: torch answers as if they were there, and a stand-in for nvidia-smi names them."""

import os
from pathlib import Path

import torch


def put_two_gpus(name: str, driver: str) -> None:
    """The name is as NVIDIA writes it; the driver is its version."""
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 2
    torch.cuda.get_device_name = lambda device=None: name
    smi = Path("bin/nvidia-smi")
    smi.parent.mkdir()
    smi.write_text(
        f"#!/bin/sh\ncase \"$*\" in *driver_version*) echo {driver};; *) echo '2, {name}'; echo '2, {name}';; esac\n"
    )
    smi.chmod(0o755)
    os.environ["PATH"] = f"{smi.parent.resolve()}{os.pathsep}{os.environ['PATH']}"
