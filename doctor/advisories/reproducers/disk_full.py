"""Weights are written to a device that is full (/dev/full of Linux); to a folder with space they are."""

import _borrowed
import torch
from _verdict import raises


def write(path: str) -> str:
    with open(path, "wb") as file:
        torch.save({"weight": torch.ones(64, 64)}, file)
    return "saved"


_borrowed.cured(lambda: write("weights.bin"), "saved")
raises(lambda: write("/dev/full"), r"\[Errno 28\] No space left on device|PytorchStreamWriter failed")
