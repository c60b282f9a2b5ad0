"""What a run measured, summed up from the log that checkpoints carry across interruptions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch


@dataclass(frozen=True)
class Outcome:
    """What a training run measured; `losses` and the sums cover interrupted parts before a resume too."""

    steps: int
    losses: Tuple[Tuple[int, float], ...]
    seconds: float
    tokens: int  # padding not counted
    padded_tokens: int  # padding counted
    answer_tokens: int
    peak_bytes: int
    peak_bytes_of: str  # "torch's allocations on the GPU" or "the process"
    resumed_from: Optional[str]


def outcome(steps: int, history: List[Dict[str, Any]], resume: Optional[Path]) -> Outcome:
    """Sum up the log of a run that took `steps` updates."""
    entries = [entry for entry in history if "answer_tokens" in entry]
    peak_bytes, of = peak_memory()
    return Outcome(
        steps=steps,
        losses=losses_of(history),
        seconds=sum(entry["seconds"] for entry in entries),
        tokens=sum(entry["tokens"] for entry in entries),
        padded_tokens=sum(entry["padded_tokens"] for entry in entries),
        answer_tokens=sum(entry["answer_tokens"] for entry in entries),
        peak_bytes=peak_bytes,
        peak_bytes_of=of,
        resumed_from=resume.name if resume else None,
    )


def losses_of(history: List[Dict[str, Any]]) -> Tuple[Tuple[int, float], ...]:
    """(step, loss) of every update in a Trainer's log."""
    return tuple((entry["step"], entry["loss"]) for entry in history if "answer_tokens" in entry)


def peak_memory() -> Tuple[int, str]:
    """The most memory held at once, in bytes, and whose."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated()), "torch's allocations on the GPU"
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "the process"  # ru_maxrss is in KiB
