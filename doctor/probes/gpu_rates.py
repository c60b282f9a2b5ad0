"""How fast does each GPU copy and multiply, and what do its clocks, its power and its PCIe link do meanwhile?

Rates are medians of runs timed on the device after a warm-up. The device's own copy counts what is read and what is
written; the host's copies go through pinned memory. Sizes follow the free memory; about eight seconds a GPU.

ENVDOC_PROBE_DEVICE=cpu runs the same on the CPU in small: that is for the tests, no rate is judged by it.
"""

# mypy: disable-error-code="import-not-found"

import os
import statistics
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import _nvml
from _probe import at, attempt, finish, one_line, require, versions

require("torch")
at("importing torch")
import torch  # noqa: E402

PRETEND = os.environ.get("ENVDOC_PROBE_DEVICE") == "cpu"
MIB = 1 << 20
COPY_BYTES, PINNED_BYTES = (
    1 << 30,
    256 * MIB,
)  # far beyond the second-level cache of any GPU (126 MB on a B200)
SECONDS_EACH = 0.8  # long enough for a power cap to act
MULTIPLY_SIZES = (8192, 4096, 2048)
FIRST_SIZE = 2048
DTYPES = ("float32", "tf32", "bfloat16", "float16")


def seconds_of(run: Callable[[], Any]) -> float:
    """Seconds on the device for one run, by CUDA events."""
    if PRETEND:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def timed(run: Callable[[], Any], look: Optional[Callable[[], Dict[str, Any]]] = None) -> Dict[str, Any]:
    """Median seconds of one run within SECONDS_EACH, and what `look` saw in the middle of it, under load."""
    seconds_of(run)  # the first run loads kernels and raises the clocks
    one = max(seconds_of(run), 1e-6)
    group = max(1, int(0.02 / one))  # a group takes about 20 ms, so that launching is no part of it
    limit = time.perf_counter() + (0.05 if PRETEND else SECONDS_EACH)
    times: List[float] = []
    seen: Dict[str, Any] = {}

    def runs() -> None:
        for _ in range(group):
            run()

    while len(times) < 3 or (time.perf_counter() < limit and len(times) < 200):
        times.append(seconds_of(runs) / group)
        if look is not None and not seen and time.perf_counter() > limit - SECONDS_EACH / 2:
            for _ in range(5 * group):
                run()  # queued; the GPU works while NVML is asked
            time.sleep(0.02)
            seen = look()
    return {"seconds": statistics.median(times), "runs": len(times) * group, "seen": seen}


def copies(device: str, free: int, look: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
    """Bytes a second within the device (read + written), from the host to it, and back."""
    size = min(COPY_BYTES, free // 4) // MIB * MIB
    if size < 64 * MIB:
        return {"skipped": f"only {free // MIB} MiB of the GPU's memory is free"}
    if PRETEND:
        size = 16 * MIB
    result: Dict[str, Any] = {"bytes": size}
    source = torch.empty(size, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    measured = timed(lambda: target.copy_(source))
    result["device_bytes_per_second"] = round(2 * size / measured["seconds"])
    size = min(PINNED_BYTES, size)
    try:
        host = torch.empty(size, dtype=torch.uint8, pin_memory=not PRETEND)
    except RuntimeError as error:
        result["host_error"] = one_line(error)
        return result
    there = timed(lambda: target[:size].copy_(host, non_blocking=True), look)
    back = timed(lambda: host.copy_(source[:size], non_blocking=True))
    result["host_bytes"] = size
    result["to_device_bytes_per_second"] = round(size / there["seconds"])
    result["to_host_bytes_per_second"] = round(size / back["seconds"])
    result["under_load"] = there["seen"]
    return result


def multiply(
    device: str, name: str, capability: Tuple[int, int], free: int, look: Callable[[], Dict[str, Any]]
) -> Dict[str, Any]:
    """Floating-point operations a second (2 n^3 a product) of square products in that precision."""
    if name in ("tf32", "bfloat16") and capability < (8, 0):
        return {"skipped": f"compute capability {capability[0]}.{capability[1]} has no {name} units"}
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    try:
        per_value = torch.empty(0, dtype=dtype).element_size()
        fitting = [n for n in MULTIPLY_SIZES if 3 * n * n * per_value < free // 3]
        if not fitting:
            return {"skipped": f"only {free // MIB} MiB of the GPU's memory is free"}
        first = 256 if PRETEND else FIRST_SIZE
        left, right = (torch.randn(first, first, device=device).to(dtype) for _ in range(2))
        seconds_of(lambda: left @ right)
        small = seconds_of(lambda: left @ right)
        size = next((n for n in fitting if small * (n / first) ** 3 < 0.1), fitting[-1])
        if PRETEND:
            size = first
        if size != first:
            left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty(size, size, device=device, dtype=dtype)
        measured = timed(lambda: torch.mm(left, right, out=out), look)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return {
        "size": size,
        "limited_by_memory": len(fitting) < len(MULTIPLY_SIZES) and size == fitting[0],
        "flops_per_second": round(2 * size**3 / measured["seconds"]),
        "runs": measured["runs"],
        "under_load": measured["seen"],
    }


def describe(index: int, nvml: Any) -> Dict[str, Any]:
    """One GPU: what it says it is, what others do with it, and how fast it is."""
    device = "cpu" if PRETEND else f"cuda:{index}"
    at(f"initialising {device}")
    result: Dict[str, Any] = {"index": index, "name": "CPU", "capability": "0.0", "memory_bytes": 1 << 30}
    free, capability = 1 << 30, (9, 0)
    where = None
    if not PRETEND:
        torch.cuda.set_device(index)
        free, total = torch.cuda.mem_get_info(index)
        seen = torch.cuda.get_device_properties(index)
        capability = (seen.major, seen.minor)
        where = _nvml.address(index)
        result.update(
            name=seen.name,
            capability=f"{seen.major}.{seen.minor}",
            multiprocessors=seen.multi_processor_count,
            memory_bytes=seen.total_memory,
            free_bytes=free,
            used_bytes=total - free,  # by others, and by this process's context
        )
    result["before"] = before = _nvml.look(nvml, where)
    busy = [before.get("utilization_percent")]
    for _ in range(3 if before else 0):
        time.sleep(0.2)
        busy.append(_nvml.look(nvml, where).get("utilization_percent"))
    told = [value for value in busy if value is not None]
    result["utilization_before_percent"] = min(told) if told else None

    def look() -> Dict[str, Any]:
        seen: Dict[str, Any] = _nvml.look(nvml, where)
        return seen

    at(f"copying on {device}")
    result["copy"] = attempt(copies, device, free, look)
    result["multiply"] = {}
    for name in DTYPES:
        at(f"multiplying in {name} on {device}")
        result["multiply"][name] = attempt(multiply, device, name, capability, free, look)
    result["after"] = look()
    if not PRETEND:
        torch.cuda.empty_cache()
    return result


if not PRETEND and not torch.cuda.is_available():
    finish({"skipped": "torch sees no GPU"})
if PRETEND:
    torch.set_num_threads(1)
library = _nvml.start()
finish(
    {
        "versions": versions("torch"),
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "nvml": library is not None,
        "mps_share": os.environ.get("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", ""),
        "gpus": [describe(index, library) for index in range(1 if PRETEND else torch.cuda.device_count())],
    }
)
