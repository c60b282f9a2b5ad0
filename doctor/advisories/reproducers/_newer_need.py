"""A compiled library of bitsandbytes that asks for a newer system than this one, made from the real one.

The name of one symbol version in its table of needs is replaced by one of the same length that no system has; that is
what a library compiled on a newer system looks like to the loader of an older one.
"""

import importlib.util
import struct
from pathlib import Path


def _elf_hash(name: bytes) -> int:
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def newer_need(old: bytes, new: bytes) -> str:
    """The file's copy, in the working folder, with `old` replaced by `new` in its needs."""
    folder = Path(importlib.util.find_spec("bitsandbytes").origin).parent
    content = (folder / "libbitsandbytes_cpu.so").read_bytes()
    assert content.count(b"\0" + old + b"\0") == 1 and len(old) == len(new)
    content = content.replace(b"\0" + old + b"\0", b"\0" + new + b"\0")
    content = content.replace(struct.pack("<I", _elf_hash(old)), struct.pack("<I", _elf_hash(new)))
    copy = Path("libcompiled_elsewhere.so").resolve()
    copy.write_bytes(content)
    return str(copy)
