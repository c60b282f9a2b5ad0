"""Whether a run's passes are recorded as CUDA graphs and replayed: where starting them would hold the GPU up.

Settled once (settle.py), and the same when the run is resumed: lines that are recorded are filled up, and products of
another size may add in another order.
"""

from typing import Sequence, Tuple

from envdoc.train.config import Run
from envdoc.train.estimate import speed
from envdoc.train.estimate.asked import pass_of, usual
from envdoc.train.estimate.passes import passes_of
from envdoc.train.estimate.shape import Shape
from envdoc.train.fast import lines

KEY = "train.cuda_graphs"
NEAR = 0.9  # of the time on the GPU: below, its own work hides that of the host


def decided(
    run: Run, shape: Shape, lengths: Sequence[int], learnt_share: float, flops_per_second: float
) -> Tuple[bool, Tuple[str, ...]]:
    """Whether it pays for such a run on such a GPU, and then a sentence that says why."""
    passes = passes_of(lengths, run, packs_rows=True)
    one = usual(pass_of(run, shape, passes, learnt_share), passes)
    on_gpu, on_host = speed.pass_seconds(shape, one, passes.row_tokens, flops_per_second)
    if on_host < NEAR * on_gpu:
        return False, ()
    return True, (
        f"Passes are replayed as CUDA graphs: one of {one.tokens:,} tokens takes the GPU some {1000 * on_gpu:.0f} ms, "
        f"and the host {1000 * on_host:.0f} ms to start.",
    )


def could_be(run: Run, shape: Shape, lengths: Sequence[int]) -> bool:
    """Whether passes of such rows can be recorded (fast/graphs.py), whatever the plan makes of the run's open keys."""
    longest = min(max(lengths), run.data.max_length)
    return (
        longest <= lines.SHORT
        and longest <= (shape.some_window or longest)
        and not shape.experts  # how many tokens go to each is asked of the GPU in every layer
        and run.train.cuda_graphs is not False
        and run.train.fused == "auto"
        and run.model.dtype in ("auto", "bf16")
        and run.model.preparation != "full"
        and run.train.neftune_alpha == 0
        and run.data.packing is not False
    )


def can_be(run: Run, shape: Shape, lengths: Sequence[int]) -> bool:
    """The same, with nothing open."""
    return (
        could_be(run, shape, lengths)
        and run.model.quantization != "8bit"  # bitsandbytes' 8-bit products ask the GPU for outliers
        and run.train.gradient_checkpointing is False  # torch's checkpoint reads random states
    )
