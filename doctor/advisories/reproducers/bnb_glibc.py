"""The newest glibc that a library of bitsandbytes for CUDA 12 asks for; the oldest system in question has 2.31."""

import importlib.util
import re
from pathlib import Path

from _verdict import finish

folder = Path(importlib.util.find_spec("bitsandbytes").origin).parent
needs = {
    path.name: max(int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)", path.read_bytes()))
    for path in folder.glob("libbitsandbytes_cuda12*.so")
}
name = max(needs, key=needs.get)
finish(needs[name] > 31, f"{name} needs GLIBC_2.{needs[name]}")
