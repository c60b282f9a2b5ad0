"""bitsandbytes beside a torch for CUDA 12.4, without the libraries of CUDA: its own library does not load."""

from _as_if_cuda import torch_says
from _loader_said import importing_bitsandbytes, line_with
from _verdict import finish

torch_says(cuda="12.4")
seen = line_with(importing_bitsandbytes(), ".so.12: cannot open shared object file")
finish(bool(seen), seen or "its library for CUDA 12.4 was loaded")
