"""What a run measured, summed up from the history that goes on across interruptions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

import torch

from envdoc.train.history import History


@dataclass(frozen=True)
class Outcome:
    """What a training run measured; `losses` and the sums cover interrupted parts before a resume too."""

    steps: int
    losses: Tuple[Tuple[int, float], ...]
    seconds: float
    data_wait_seconds: float  # of them, in which an update was waited for that was not laid yet
    tokens: int  # padding not counted
    padded_tokens: int  # padding counted
    answer_tokens: int
    peak_bytes: int
    peak_bytes_of: str  # "torch's allocations on the GPU" or "the process"
    resumed_from: Optional[str]
    micro_batch: int  # rows in a pass at the end: fewer than asked for where memory ended
    threads: int  # torch's on the CPU: equal seeds give equal losses with equal threads
    judgements: Tuple[Tuple[int, float], ...] = ()  # (step, loss on held-out rows)
    adapter_step: Optional[int] = None  # the update whose adapter this is; None: the last


def outcome(steps: int, history: History, resume: Optional[Path], micro_batch: int) -> Outcome:
    """Sum up the history of a run that took `steps` updates."""
    peak_bytes, of = peak_memory()
    return Outcome(
        steps=steps,
        losses=history.losses,
        seconds=history.sums["seconds"],
        data_wait_seconds=history.sums["data_wait_seconds"],
        tokens=int(history.sums["tokens"]),
        padded_tokens=int(history.sums["padded_tokens"]),
        answer_tokens=int(history.sums["answer_tokens"]),
        peak_bytes=peak_bytes,
        peak_bytes_of=of,
        resumed_from=resume.name if resume else None,
        micro_batch=micro_batch,
        threads=torch.get_num_threads(),
    )


def peak_memory() -> Tuple[int, str]:
    """The most memory held at once, in bytes, and whose."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated()), "torch's allocations on the GPU"
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "the process"  # ru_maxrss is in KiB
