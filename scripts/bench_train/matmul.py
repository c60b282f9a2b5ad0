"""What the device's matrix units give on this very day: the rate that every share of the table is a share of."""

import time
from typing import Any, Dict

import torch

SHAPE = (8192, 4096, 11008)  # a pass of 8192 tokens through the MLP of the 7B shape
TINY_SHAPE = (512, 64, 128)


def device() -> torch.device:
    """The GPU, or the CPU for a try."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def rates(seconds: float) -> Dict[str, Any]:
    """TFLOP/s of bf16 on random numbers: the best of five short bursts, and the mean over `seconds` without a pause."""
    there = device()
    rows, inner, columns = SHAPE if there.type == "cuda" else TINY_SHAPE
    left = torch.randn(rows, inner, device=there, dtype=torch.bfloat16)
    right = torch.randn(inner, columns, device=there, dtype=torch.bfloat16)
    operations = 2 * rows * inner * columns

    def burst(times: int) -> float:
        wait()
        since = time.perf_counter()
        for _ in range(times):
            torch.mm(left, right)
        wait()
        return operations * times / (time.perf_counter() - since) / 1e12

    burst(10)
    short = max(burst(20) for _ in range(5))
    began, since, count = time.time(), time.perf_counter(), 0
    while time.perf_counter() - since < seconds:
        for _ in range(100):
            torch.mm(left, right)
        wait()
        count += 100
    passed = time.perf_counter() - since
    name = torch.cuda.get_device_name(0) if there.type == "cuda" else "a CPU"
    return {
        "device": name,
        "shape": [rows, inner, columns],
        "short_tflops": short,
        "sustained_tflops": operations * count / passed / 1e12,
        "seconds": passed,
        "from": began,
        "to": time.time(),
    }


def wait() -> None:
    """Until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
