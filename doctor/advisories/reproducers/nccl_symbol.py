"""The function of NCCL that torch from 2.2 on asks for, in the libnccl.so.2 of a wheel."""

import ctypes
import sys
from pathlib import Path

from _verdict import raises

file = next(
    str(found) for folder in sys.path for found in Path(folder or ".").glob("nvidia/nccl/lib/libnccl.so.2")
)
raises(lambda: ctypes.CDLL(file).ncclCommRegister.__name__, r"undefined symbol: ncclCommRegister")
