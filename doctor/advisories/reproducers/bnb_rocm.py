"""bitsandbytes beside a torch for ROCm 6.3: releases without libraries for AMD name one that is not there."""

from _as_if_cuda import torch_says
from _loader_said import importing_bitsandbytes, line_with
from _verdict import finish

torch_says(hip="6.3.42131", capability=(9, 0))
said = importing_bitsandbytes()
seen = line_with(said, "binary not found at", "has no attribute 'split'")
finish(bool(seen), seen or "it found a library for ROCm")
