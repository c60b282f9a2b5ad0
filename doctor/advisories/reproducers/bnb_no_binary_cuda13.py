"""bitsandbytes beside a torch for CUDA 13.0: it names a library that its wheel does not have."""

from _as_if_cuda import torch_says
from _loader_said import importing_bitsandbytes, line_with
from _verdict import finish

torch_says(cuda="13.0")
seen = line_with(
    importing_bitsandbytes(), "Could not find the bitsandbytes CUDA binary", "CUDA binary not found"
)
finish(bool(seen), seen or "it found a library for CUDA 13.0")
