"""What the plan asks of the GPU that is here: free memory, its rate, and whether passes can be recorded on it."""

from typing import Any

SIDE, PRODUCTS, BURST = 4096, 10, 0.78


def free_bytes() -> int:
    """Of the GPU: what other processes hold is off it, and so is what CUDA itself holds of this one."""
    import torch

    return int(torch.cuda.mem_get_info()[0]) + int(torch.cuda.memory_reserved())


def flops_per_second(precision: Any) -> float:
    """The GPU's peak in 16 bits, from what a few products reach: in bursts a healthy GPU makes some 78% of it.

    772 to 802 of the 989 TFLOP/s of an H200's data sheet, on five of them (2026-11-30).
    """
    import torch

    dtype = torch.float16 if precision.dtype == "fp16" else torch.bfloat16
    one = torch.linspace(-1, 1, SIDE**2, dtype=dtype, device=precision.device).view(
        SIDE, SIDE
    )  # nothing is drawn
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for times in (PRODUCTS, PRODUCTS):  # the first ones load the library
        begin.record()
        for _ in range(times):
            one @ one
        end.record()
    end.synchronize()
    return 2.0 * SIDE**3 * PRODUCTS / (1e-3 * begin.elapsed_time(end)) / BURST


def records(precision: Any) -> bool:
    """Whether passes of one process can be recorded here: attention by kernels whose work lies in a table."""
    from envdoc.train.fast import short_rows
    from envdoc.train.parallel import world

    return world.size() == 1 and short_rows.is_for(precision.device)
