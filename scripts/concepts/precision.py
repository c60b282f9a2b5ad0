"""What fp16, bf16 and TF32 do to small updates, small gradients and products.

usage: precision.py OUT.json       in an environment with torch; TF32 needs a GPU of sm_80 or newer
"""

import json
import sys
from pathlib import Path
from typing import Any, Dict, List

import torch

UPDATE, UPDATES, EVERY = 1e-4, 2000, 20
GRADIENT_EXPONENTS = range(-30, -3)
SIDE = 2048


def many_small_updates() -> Dict[str, List[float]]:
    """A weight of 1, to which 0.0001 is added 2,000 times: kept in each dtype, and in bf16 with an fp32 master."""
    kept: Dict[str, List[float]] = {}
    for name, dtype in (("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)):
        weight, path = torch.ones((), dtype=dtype), []
        for step in range(UPDATES + 1):
            if step % EVERY == 0:
                path.append(float(weight))
            weight = weight + torch.tensor(UPDATE, dtype=dtype)
        kept[name] = path
    master, path = torch.ones(()), []
    for step in range(UPDATES + 1):
        if step % EVERY == 0:
            path.append(float(master.to(torch.bfloat16)))
        master = master + UPDATE
    kept["bf16 with an fp32 master"] = path
    return kept


def small_gradients() -> Dict[str, List[float]]:
    """The share of a gradient that is left after it was stored: 2**exponent, in each dtype, and scaled for fp16."""
    values = [2.0**exponent * 1.3 for exponent in GRADIENT_EXPONENTS]
    scale = 2.0**16  # GradScaler's first scale
    left: Dict[str, List[float]] = {"exponent": [float(exponent) for exponent in GRADIENT_EXPONENTS]}
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        left[name] = [float(torch.tensor(value).to(dtype)) / value for value in values]
    scaled = [float((torch.tensor(value) * scale).to(torch.float16)) / scale / value for value in values]
    left["fp16 with loss scaling"] = scaled
    return left


def products() -> Dict[str, float]:
    """The error of a product of two 2,048 x 2,048 matrices, against fp64, as a share of the product."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    first, second = torch.randn(SIDE, SIDE, device=device), torch.randn(SIDE, SIDE, device=device)
    exact = first.double() @ second.double()

    def error(found: Any) -> float:
        return float((found.double() - exact).norm() / exact.norm())

    found = {
        "fp16": error(first.half() @ second.half()),
        "bf16": error(first.bfloat16() @ second.bfloat16()),
    }
    torch.backends.cuda.matmul.allow_tf32 = False
    found["fp32"] = error(first @ second)
    if device == "cuda" and torch.cuda.get_device_capability(0) >= (8, 0):
        torch.backends.cuda.matmul.allow_tf32 = True
        found["TF32"] = error(first @ second)
    return found


def main(out: Path) -> None:
    """Measure and write."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    measured = {
        "versions": {"torch": torch.__version__, "device": device},
        "updates": {"every": EVERY, "update": UPDATE, "weight": many_small_updates()},
        "gradients": small_gradients(),
        "products": products(),
    }
    out.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
