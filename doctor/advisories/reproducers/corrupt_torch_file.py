"""A .bin that is a git-lfs pointer, or half of itself; whole it loads."""

from pathlib import Path

import _borrowed
import torch
from _verdict import raises

torch.save({"weight": torch.ones(256, 256)}, "whole.bin")
_borrowed.cured(lambda: torch.load("whole.bin", weights_only=True)["weight"].shape[0], 256)
whole = Path("whole.bin").read_bytes()
Path("half.bin").write_bytes(whole[: len(whole) // 2])
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 1\n"
Path("pointer.bin").write_text(POINTER, encoding="ascii")
refused = []
for name in ("half", "pointer"):
    try:
        torch.load(f"{name}.bin", weights_only=True)
    except Exception as error:
        refused.append(f"{type(error).__name__}: {error}")


def both() -> None:
    if len(refused) == 2:
        raise ValueError(", ".join(refused))


raises(
    both, r"(?s)PytorchStreamReader failed.*(invalid load key|Unsupported operand|Weights only load failed)"
)
