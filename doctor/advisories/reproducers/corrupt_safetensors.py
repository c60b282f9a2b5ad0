"""A .safetensors file that is a git-lfs pointer, or half of itself; whole it loads."""

from pathlib import Path

import _borrowed
import torch
from _verdict import raises
from safetensors.torch import load_file, save_file

save_file({"weight": torch.ones(64, 64)}, "whole.safetensors")
_borrowed.cured(lambda: load_file("whole.safetensors")["weight"].shape[0], 64)
whole = Path("whole.safetensors").read_bytes()
Path("half.safetensors").write_bytes(whole[: len(whole) // 2])
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 1\n"
Path("pointer.safetensors").write_text(POINTER, encoding="ascii")
refused = []
for name in ("half", "pointer"):
    try:
        load_file(f"{name}.safetensors")
    except Exception as error:
        refused.append(f"{type(error).__name__}: {error}")


def both() -> None:
    if len(refused) == 2:
        raise ValueError(", ".join(refused))


raises(both, "Error while deserializing header.*Error while deserializing header")
