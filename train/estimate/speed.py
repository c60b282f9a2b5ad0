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
HOPPER = ("H100", "H200", "H800", "H20", "GH200")


@dataclass(frozen=True)
class Rate:
    """What passes of one kind reached: a share of the peak, and two times of a layer beside the products."""

    share: float  # of the peak of dense 16-bit products
    layer_seconds: float  # on the GPU, whatever the number of tokens
    host_seconds: float  # until the host has started a layer's kernels: no pass is faster, however small


# By quantisation, and whether layers are computed again. Of H200s on 2026-11-30 and 12-01: bases in bf16, and NF4 with
# checkpointing, from runs of docs/performance.md and its grid (two shapes, passes of 1,024 to 16,384 tokens), within
# 3%; NF4 without from six runs of docs/estimate.md, of which one was held up (7b, 4,096 tokens: 11,866 tokens/s, and
# 17,854 the day before), the others within 6%; LLM.int8 from twelve, within 7%, with checkpointing 13%. A layer's time
# on the host differs from host to host: 3.8 to 4.6 ms were seen for bf16, 7 to 8 for NF4, 14 to 19 for LLM.int8 with
# checkpointing.
RATES: Dict[Tuple[str, bool], Rate] = {
    ("none", False): Rate(0.60, 0.0003, 0.0046),
    ("none", True): Rate(0.66, 0.0005, 0.0070),
    ("4bit", False): Rate(0.60, 0.00125, 0.0073),
    ("4bit", True): Rate(0.62, 0.0008, 0.0088),
    ("8bit", False): Rate(0.43, 0.0050, 0.0082),
    ("8bit", True): Rate(0.28, 0.0, 0.0163),
}
OFFLOAD = (
    1.0  # 12,868 tokens/s against 12,836 with full checkpointing: copies run beside the products (that day)
)
PLAIN = 0.75  # of the share, where nothing is fused


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

    @property
    def replays(self) -> bool:
        """Whether it is of the kind on which passes are recorded (estimate/recorded.py), by its name."""
        return any(kind in self.name.upper() for kind in HOPPER)


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


def rate_of(one: Pass) -> Rate:
    """The rate of such passes on the GPU that was measured."""
    return RATES[(one.quantization, one.checkpointing is not False)]


def share_of_peak(one: Pass) -> float:
    """The share of the peak that the products of such passes reach there."""
    share = rate_of(one).share * (OFFLOAD if one.checkpointing == "offload" else 1)
    return share if one.way.fused else share * PLAIN


def seconds_per_token(shape: Shape, one: Pass, row_tokens: float, flops_per_second: float) -> float:
    """Of a token, padding counted, in passes like `one` on a GPU with that peak."""
    on_gpu, on_host = pass_seconds(shape, one, row_tokens, flops_per_second)
    return (on_gpu if one.recorded else max(on_gpu, on_host)) / one.tokens


def pass_seconds(shape: Shape, one: Pass, row_tokens: float, flops_per_second: float) -> Tuple[float, float]:
    """Of a whole pass: on the GPU, and until the host has started its kernels one by one."""
    rate = rate_of(one)
    products = flops_per_token(shape, one, row_tokens) / (flops_per_second * share_of_peak(one))
    on_gpu = products * one.tokens + shape.layers * rate.layer_seconds
    return on_gpu, shape.layers * rate.host_seconds
