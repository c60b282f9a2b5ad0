"""libcusparse of one NVIDIA wheel is loaded over the libnvJitLink of another, as torch does it."""

import ctypes
import sys
from pathlib import Path

from _verdict import raises


def library(name: str) -> str:
    """The file, wherever on the path a wheel has put it."""
    return next(str(file) for folder in sys.path for file in Path(folder or ".").glob(f"nvidia/*/lib/{name}"))


ctypes.CDLL(library("libnvJitLink.so.12"), mode=ctypes.RTLD_GLOBAL)
raises(
    lambda: ctypes.CDLL(library("libcusparse.so.12"))._name.rsplit("/")[-1],
    r"undefined symbol: __nvJitLink\w+",
)
