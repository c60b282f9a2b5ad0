"""Out of memory: which errors say so, what is let go, and what the run goes on with."""

import gc
from typing import Any, List, Optional

import torch

from envdoc.train import compat
from envdoc.train.batches import Batch, halve
from envdoc.train.parallel import world

# RuntimeErrors that are no OutOfMemoryError and mean it: the CPU's allocator; CUDA and cuBLAS when they cannot get
# memory past torch's allocator; a C++ library.
PHRASES = {
    "DefaultCPUAllocator": "this machine",
    "can't allocate memory": "this machine",
    "Cannot allocate memory": "this machine",  # safetensors, where a file cannot be mapped
    "std::bad_alloc": "this machine",
    "CUDA error: out of memory": "the GPU",
    "CUBLAS_STATUS_ALLOC_FAILED": "the GPU",
}
ADVICE = (
    "Lower `data.max_length`, or set `train.gradient_checkpointing=true` or `model.quantization=4bit`; "
    "`nvidia-smi` shows who else uses a GPU."
)


def of_whom(error: BaseException) -> Optional[str]:
    """Whose memory is full, "the GPU" or "this machine", where the error says that; else None."""
    if isinstance(error, compat.out_of_memory()):
        return "the GPU"
    if isinstance(error, MemoryError):
        return "this machine"
    if isinstance(error, RuntimeError):
        return next((whose for phrase, whose in PHRASES.items() if phrase in str(error)), None)
    return None


def cut(batches: List[Batch], times: int) -> List[Batch]:
    """Each micro-batch halved `times` times, in the same order; what cannot be halved further stays."""
    for _ in range(times):
        batches = [part for batch in batches for part in (halve(batch) or (batch,))]
    return batches


def let_go(model: Any) -> None:
    """Drop the gradients of a broken-off update and hand what torch holds in reserve back to the device.

    Call it outside the `except` block: the error's traceback keeps every activation of the pass alive.
    """
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def full_anywhere(full: Optional[str]) -> Optional[str]:
    """Whose memory is full in any rank, the same answer in all of them: they repeat the update together."""
    if world.splits_optimizer():  # the others wait inside a pass, and cannot be asked
        return full
    last = world.most(world.rank() + 1 if full else 0)
    return full if full or last == 0 else f"rank {last - 1}"


def size(parts: List[Batch]) -> int:
    """The largest pass: its rows where each has a line of its own, else its tokens."""
    return max(
        len(ids) if "attention_mask" in part else ids.numel() for part in parts for ids in [part["input_ids"]]
    )


def drops(model: Any) -> bool:
    """True where a repeated pass draws another dropout."""
    return any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules())
