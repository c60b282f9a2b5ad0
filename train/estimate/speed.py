"""Tokens a second in closed form: the products that a token needs, and the share of a GPU's peak that was reached.

The share was measured on one NVIDIA H200 and is taken for other GPUs too, which is an assumption and said to be one.
The peaks are those of the doctor's table of GPUs (doctor/tables/gpu_rates.toml), handed over by `envdoc estimate`.
"""

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from envdoc.train.estimate.memory import Pass, trained_numbers
from envdoc.train.estimate.shape import Shape

ASSUMED = "assumed: the share of its peak that an H200 reached"
MEASURED_ON = "NVIDIA H200"

# Of the peak of dense 16-bit products, by quantisation and checkpointing, once a pass is long: Llama-2-7B's shape,
# r = 8 on all linear layers, packed rows (docs/estimate.md has the runs and their dates).
SHARES: Dict[Tuple[str, Any], float] = {
    ("none", False): 0.60,
    ("none", True): 0.64,
    ("4bit", False): 0.59,
    ("4bit", True): 0.59,
}
OFFLOAD = (
    0.97  # of these; not measured: copies run beside the products, and `full` is preferred where it fits
)
PLAIN = 0.75  # of these, where nothing is fused
EIGHT_BIT = 0.44  # of these, with LLM.int8: 1,398 against 3,207 tokens/s (docs/gpu-train-h200.md)
# Beside the products: kernels started one after another, whatever their size. Of 32 layers 65 ms, from passes of 8,192
# tokens (16,359 tokens/s) and 16,384 (17,483); a quarter more where the way forward is gone twice.
LAYER_SECONDS = 0.0020
LAYER_SECONDS_AGAIN = 0.0025


@dataclass(frozen=True)
class Gpu:
    """A GPU, here or to be rented."""

    name: str
    memory_bytes: int
    flops_per_second: Optional[float] = None  # dense products in 16 bits; None where no table has them
    source: str = ""
    has_bf16: bool = True
    used_bytes: int = 0  # by others, where it is here
    here: bool = False


def gpu_of(told: Mapping[str, Any]) -> Gpu:
    """What the doctor tells of a GPU."""
    return Gpu(**{name: told[name] for name in Gpu.__dataclass_fields__ if name in told})


def flops_per_token(shape: Shape, one: Pass, row_tokens: float) -> float:
    """Floating-point operations for one token, forward and back; `row_tokens` is the mean row as a token sees it.

    A frozen weight is multiplied twice a token, forward and for the gradient of its input (4 operations), and once
    more where the layer is computed again (6). Attention looks back half a row on average; its way back is 2.5 times
    its way forward, since it never kept its scores. An adapter's number also needs its own gradient.
    """
    head = shape.vocabulary * shape.hidden
    learnt = (one.learnt or one.tokens) / one.tokens
    forward = 2 * (shape.multiplied - head)
    attention = shape.layers * 2 * row_tokens * shape.query_width
    again = AGAIN[one.checkpointing]
    of_head = 4 * head * (learnt if one.chunked_loss else 1.0)
    return forward * (2 + again) + attention * (3.5 + again) + of_head + 6 * trained_numbers(shape, one.way)


AGAIN: Dict[Any, float] = {
    False: 0.0,
    "selective": 0.5,
    True: 1.0,
    "offload": 1.0,
}  # of the way forward, once more


def share_of_peak(one: Pass) -> float:
    """The share of the peak that the products of such passes reach on the GPU that was measured."""
    base = "none" if one.quantization == "8bit" else one.quantization
    share = SHARES[(base, one.checkpointing is not False)]
    share *= OFFLOAD if one.checkpointing == "offload" else 1
    return share * (1 if one.way.fused else PLAIN) * (EIGHT_BIT if one.quantization == "8bit" else 1)


def seconds_per_token(shape: Shape, one: Pass, row_tokens: float, flops_per_second: float) -> float:
    """Of a token, padding counted, in passes like `one` on a GPU with that peak."""
    products = flops_per_token(shape, one, row_tokens) / (flops_per_second * share_of_peak(one))
    layer = LAYER_SECONDS if one.checkpointing is False else LAYER_SECONDS_AGAIN
    return products + shape.layers * layer / one.tokens
