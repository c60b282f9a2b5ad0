"""An adapter as ZeRO-3 leaves it where nothing was gathered: its tensors have no elements; a gathered one loads."""

import _borrowed
import _tiny
import torch
from _adapter import adapter_file, fresh, tensors
from _verdict import raises
from peft import PeftModel
from safetensors.torch import save_file

fresh().save_pretrained("adapter")


def load() -> str:
    PeftModel.from_pretrained(_tiny.llama(), "adapter")
    return "loaded"


_borrowed.cured(load, "loaded")
path = adapter_file(_borrowed.Path("adapter"))
save_file({key: torch.empty(0) for key in tensors(path)}, str(path))
raises(load, "size mismatch for")
