"""An extension with CUDA code is set up where no toolkit is: CUDA_HOME is not set and nvcc not on PATH."""

import os
from pathlib import Path

from _verdict import raises

for name in ("CUDA_HOME", "CUDA_PATH"):
    os.environ.pop(name, None)
os.environ["PATH"] = str(Path.cwd())

from torch.utils import cpp_extension

cpp_extension.CUDA_HOME = cpp_extension._find_cuda_home() if Path("bin/nvcc").exists() else None
raises(
    lambda: cpp_extension.CUDAExtension("thing", ["thing.cu"]), r"CUDA_HOME environment variable is not set"
)
