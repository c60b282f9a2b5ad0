"""The most GPU memory that a run takes at once, in closed form: every term by its name, with the reason for it.

What is told is what `torch.cuda.max_memory_allocated` counts. Beside it a process takes the CUDA context and loaded
kernels (0.4 to 0.6 GiB) and what torch's allocator holds in reserve.

    peak = what stays for the whole run
         + what layers keep for the way back, of all layers, or of one where the others are computed again
         + the larger of: the loss, and the way back through one layer
"""

from dataclasses import dataclass
from typing import Dict, Literal, Tuple, Union

from envdoc.train.estimate import saved
from envdoc.train.estimate.saved import Way
from envdoc.train.estimate.shape import Linear, Shape
from envdoc.train.fast import chunks

Checkpointing = Union[bool, Literal["selective", "offload"]]

BLOCK, OUTER_BLOCK = 64, 256  # of NF4: numbers that share a scale, scales that share one (bitsandbytes)
# Of the optimizer, a trained number; paged states live in memory that CUDA moves, which torch does not count.
STATE_BYTES: Dict[str, float] = {
    "adamw": 8,
    "adamw_fused": 8,
    "adamw_8bit": 2 + 2 * 4 / OUTER_BLOCK,
    "paged_adamw": 0,
    "paged_adamw_8bit": 0,
    "lion": 4,
    "lion_8bit": 1 + 4 / OUTER_BLOCK,
    "paged_lion_8bit": 0,
    "adafactor": 0.1,  # a row and a column of each matrix: little beside the rest
}
# While a chunk of logits (fast/chunks.py) is worked on: 16-bit logits, the same in fp32, and their log softmax (torch
# converts bf16 first); and what the chunk before it left. Measured on a CPU: 3.5 times CHUNK_BYTES.
CHUNK_TIMES, AFTER_ANOTHER = (2 + 4 + 4) / 4, 4 / 4
# The kernel (fast/entropy.py) writes the gradient over the 16-bit logits, and nothing is left of the chunk before.
KERNEL_TIMES, KERNEL_AFTER = 2 / 4, 0.0
BENT = (
    "gemma2",
    "gemma3",
    "gemma3_text",
    "cohere",
    "cohere2",
    "granite",
)  # logits that the kernel does not take
LOGITS_BYTES = 12  # of whole logits: log softmax and two gradients, all in fp32
CUBLAS_BYTES = 32 * 2**20  # torch's workspace on Hopper, through its own allocator (8 MiB on older ones)


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass, and what is computed how."""

    way: Way
    tokens: int  # padding included
    learnt: int = 0  # tokens that have a label; 0: all
    quantization: Literal["none", "8bit", "4bit"] = "none"
    full_preparation: bool = False  # what a quantised base leaves in 16 bits is cast to fp32
    checkpointing: Checkpointing = False
    optimizer: str = "adamw"
    chunked_loss: bool = True  # never whole logits
    recorded: bool = False  # and replayed (fast/graphs.py): the host does not start each kernel
    judged_tokens: int = 0  # of a pass over held-out rows, which keeps nothing but has whole logits

    @property
    def stream_bytes(self) -> int:
        """Of a number of the hidden states between layers: embeddings in fp32 make them so."""
        return 4 if self.full_preparation and self.quantization != "none" else self.way.activation_bytes


@dataclass(frozen=True)
class Term:
    """A part of the peak."""

    name: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Terms:
    """The whole peak."""

    terms: Tuple[Term, ...]

    @property
    def total(self) -> int:
        """The peak, in bytes."""
        return sum(term.bytes for term in self.terms)

    def of(self, name: str) -> int:
        """The bytes of one term; 0 where there is none of that name."""
        return sum(term.bytes for term in self.terms if term.name == name)


def peak_bytes(shape: Shape, one: Pass) -> Terms:
    """The peak of a run whose largest pass is `one`, term by term."""
    standing, kept = _standing(shape, one), _kept(shape, one)
    last = max(_loss(shape, one), _way_back(shape, one), key=lambda term: term.bytes)
    trains = [*kept, last]
    judged = _judged(shape, one)
    if one.recorded:  # what recordings hold is theirs while rows are judged, too
        trains.append(judged)
    elif judged.bytes > sum(term.bytes for term in trains):
        trains = [judged]
    return Terms(tuple(term for term in (*standing, *trains) if term.bytes))


def trained_numbers(shape: Shape, way: Way) -> int:
    """How many numbers the adapter has."""
    return shape.layers * sum(way.r * (each.inputs + each.outputs) for each in saved.carriers(shape, way))


def weight_bytes(shape: Shape, one: Pass) -> int:
    """The frozen base, whatever stays in 16 bits included."""
    return sum(term.bytes for term in _weights(shape, one))


def linear_bytes(linear: Linear, quantization: str, plain_bytes: int) -> float:
    """One frozen matrix with its scales; experts in one three-dimensional weight are never quantised."""
    if quantization == "none" or linear.experts:
        return linear.numbers * plain_bytes
    if quantization == "8bit":
        return linear.numbers + 4 * linear.outputs  # LLM.int8: one fp32 scale a row
    scales = linear.numbers / BLOCK
    return (
        linear.numbers / 2 + scales + 4 * scales / OUTER_BLOCK
    )  # double quantisation: 8-bit scales of fp32 ones


def _weights(shape: Shape, one: Pass) -> Tuple[Term, ...]:
    plain = one.way.activation_bytes
    rest = 4 if one.quantization != "none" and one.full_preparation else plain
    linears = shape.layers * sum(
        linear_bytes(each, one.quantization, plain) for each in shape.linears if not each.router
    )
    routers = sum(each.numbers for each in shape.linears if each.router)
    outside = shape.embedding + shape.head + shape.outside_rest
    others = shape.layers * (shape.layer_vectors + routers) + outside
    kinds = {
        "none": f"{8 * plain} bits",
        "8bit": "8 bits, a scale a row",
        "4bit": "NF4 with double quantisation",
    }
    return (
        Term("base, linear layers", int(linears), f"{kinds[one.quantization]}; {shape.layers} layers"),
        Term("base, the rest", others * rest, f"embeddings, head and norms in {8 * rest} bits"),
    )


def _standing(shape: Shape, one: Pass) -> Tuple[Term, ...]:
    numbers = trained_numbers(shape, one.way)
    copies = 2 if one.way.activation_bytes == 2 else 0
    return (
        *_weights(shape, one),
        Term(
            "adapter",
            numbers * (4 + copies),
            f"{numbers:,} numbers in fp32" + (", and a 16-bit copy" if copies else ""),
        ),
        Term("gradients", numbers * 4, "of the adapter, in fp32"),
        Term("optimizer", int(numbers * STATE_BYTES[one.optimizer]), one.optimizer),
        Term("cuBLAS", CUBLAS_BYTES, "its workspace"),
    )


def _kept(shape: Shape, one: Pass) -> Tuple[Term, ...]:
    """What is kept of the way forward: of a layer its table, or its input alone (fast/checkpointing.py)."""
    whole, inputs = kept_layers(shape.layers, one.checkpointing)
    layer = one.tokens * shape.hidden * one.stream_bytes
    told = "the hidden states from which a layer is computed again"
    boundary = Term(
        "between layers", inputs * layer, told + (f"; of {inputs}" if whole or inputs == 2 else "")
    )
    rows = saved.layer(shape, one.way)
    kept = tuple(
        Term(f"kept, {row.name}", int(row.bytes_per_token * one.tokens * whole), row.why) for row in rows
    )
    return (boundary, *kept)


def kept_layers(layers: int, checkpointing: Checkpointing) -> Tuple[int, int]:
    """How many layers keep everything, and how many inputs of layers are on the GPU for the others.

    Selective keeps every second layer; of what is offloaded one input is in use and one on its way back.
    """
    if checkpointing is False:
        return layers, 0
    if checkpointing == "selective":
        return layers // 2, layers - layers // 2
    return 0, min(2, layers) if checkpointing == "offload" else layers


def _loss(shape: Shape, one: Pass) -> Term:
    hidden = one.tokens * shape.hidden * one.way.activation_bytes
    before = 2 * hidden if one.way.fused else 3 * hidden  # of the last norm: what it got, and what it gave
    if not one.chunked_loss:
        return Term(
            "loss",
            one.tokens * shape.vocabulary * LOGITS_BYTES + before,
            "whole logits, in fp32 and twice again",
        )
    by_kernel = one.way.fused and one.way.activation_bytes == 2 and shape.family not in BENT
    learnt, most = one.learnt or one.tokens, chunks.rows(shape.vocabulary, by_kernel)
    rows = min(learnt, most)
    times, after = (KERNEL_TIMES, KERNEL_AFTER) if by_kernel else (CHUNK_TIMES, AFTER_ANOTHER)
    chunk = rows * shape.vocabulary * 4 * (times + (after if learnt > most else 0))
    return Term("loss", int(chunk) + before + hidden, f"logits of {rows:,} tokens at a time, never of all")


def _judged(shape: Shape, one: Pass) -> Term:
    """A pass over held-out rows: logits in 16 bits, in fp32, and their log softmax."""
    of_token = (
        shape.vocabulary * (one.way.activation_bytes + 4 + 4) + 4 * shape.hidden * one.way.activation_bytes
    )
    return Term(
        "judging",
        one.judged_tokens * of_token,
        "whole logits of held-out rows: `eval.batch_size` is the knob",
    )


def _way_back(shape: Shape, one: Pass) -> Term:
    """Through one layer: its own gradients, what it must compute again, and the weight that is unpacked for it."""
    bytes_ = one.way.activation_bytes
    width = max(shape.intermediate, shape.query_width + 2 * shape.kv_width)
    fused, plain = width + 3 * shape.hidden, 3 * width + 6 * shape.hidden
    working = bytes_ * (fused if one.way.fused else plain)
    again = saved.total(saved.layer(shape, one.way)) if one.checkpointing is not False else 0.0
    largest = max((each.numbers for each in shape.linears if not each.experts), default=0)
    unpacked = largest * bytes_ if one.quantization != "none" else 0
    why = "the gradients of its widest part"
    why += ", what is computed again" if again else ""
    why += ", one weight unpacked" if unpacked else ""
    return Term("way back through a layer", int((working + again) * one.tokens) + unpacked, why)
