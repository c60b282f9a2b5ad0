"""A tensor is sent to the GPU with a torch that was built without CUDA."""

import torch
from _verdict import raises

raises(lambda: torch.zeros(1).cuda(), r"Torch not compiled with CUDA enabled")
