"""torch's own check before it compiles, with a stand-in for nvcc that tells CUDA 12.0, beside a torch for 11.8."""

import os
from pathlib import Path

from _verdict import raises

nvcc = Path("toolkit/bin/nvcc")
nvcc.parent.mkdir(parents=True)
nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 12.0, V12.0.140'\n")
nvcc.chmod(0o755)
os.environ["CUDA_HOME"] = str(Path("toolkit").resolve())

import torch
from torch.utils import cpp_extension

cpp_extension.CUDA_HOME = os.environ["CUDA_HOME"]
torch.version.cuda = "11.8"
raises(
    lambda: cpp_extension._check_cuda_version("g++", cpp_extension.TorchVersion("12.0")),
    r"The detected CUDA version .{1,12} mismatches the version that was used to compile",
)
