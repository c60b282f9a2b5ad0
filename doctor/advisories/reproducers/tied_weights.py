"""save_file of a state dict in which two names share their memory; of copies it saves."""

import _borrowed
import torch
from _verdict import raises
from safetensors.torch import save_file

shared = torch.ones(4, 4)


def save(state: dict) -> str:
    save_file(state, "model.safetensors")
    return "saved"


_borrowed.cured(lambda: save({"embedding": shared, "head": shared.clone()}), "saved")
raises(lambda: save({"embedding": shared, "head": shared}), "Some tensors share memory")
