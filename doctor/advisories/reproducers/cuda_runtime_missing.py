"""The compiled parts of a library for CUDA, beside a torch that brings no library of that CUDA."""

import ctypes
import sys
from pathlib import Path

import torch
from _verdict import finish

assert torch.__version__  # its own libraries are loaded
seen = []
for folder in sys.path:
    for file in sorted(Path(folder or ".").glob("*/*.so")):
        if file.parent.name in ("torchvision", "xformers"):
            try:
                ctypes.CDLL(str(file))
            except OSError as error:
                seen.append(str(error))
missing = [text for text in seen if "cannot open shared object file" in text]
cudart = [text for text in missing if "libcud" in text]
finish(bool(missing), (cudart or missing or seen or ["all of them load"])[0])
