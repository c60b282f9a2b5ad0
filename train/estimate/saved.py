"""What a layer keeps for its backward pass, in bytes a token: a small table for each way of computing it.

Two ways. `plain`: transformers' modules and peft's, under autocast, which makes a 16-bit copy of its input for each
LoRA layer. `fused`: train/fast, without autocast, where layers that share an input share what is kept of it.
tests/train/test_estimate_memory.py holds every row against what autograd really keeps.
"""

from dataclasses import dataclass
from typing import List, Tuple

from envdoc.train.estimate.shape import Linear, Shape
from envdoc.train.fast import rooms


@dataclass(frozen=True)
class Way:
    """How a layer is computed, as far as it decides what is kept."""

    fused: bool = True
    activation_bytes: int = 2  # 4 in an fp32 run
    autocast: bool = False  # plain 16-bit runs
    stacked: bool = (
        True  # fused over a base in 16 bits or fp32: low-rank parts lie in room behind rows (fast/rooms.py)
    )
    apart: bool = False  # fused, but for the LoRA layers, which stay peft's (LLM.int8, DoRA)
    r: int = 16
    targets: Tuple[str, ...] = ()  # names of linear layers that carry LoRA
    dropout: bool = False
    masked: bool = False  # padded rows or a mask: keys are then repeated for each query head
    liger: bool = False  # norms and gates of what is not fused by train/fast itself
    row_length: int = 0  # the longest row, where attention's scores exist as a whole


@dataclass(frozen=True)
class Kept:
    """One row of the table."""

    name: str
    bytes_per_token: float
    why: str


def layer(shape: Shape, way: Way) -> Tuple[Kept, ...]:
    """What one layer keeps of each token."""
    kinds = (_norms, _inputs, _low_rank, _room, _attention, _mlp)
    return tuple(row for row in (kind(shape, way) for kind in kinds) if row.bytes_per_token)


def total(rows: Tuple[Kept, ...]) -> float:
    """Bytes a token."""
    return sum(row.bytes_per_token for row in rows)


def carriers(shape: Shape, way: Way) -> List[Linear]:
    """The linear layers of one layer that carry LoRA."""
    return [linear for linear in shape.linears if linear.name in way.targets]


def norm_bytes(shape: Shape, way: Way) -> int:
    """Of a number that a layer's norm keeps: fused norms keep what comes; else it is fp32."""
    if way.fused and (shape.plain_layer or way.liger or not shape.rms):
        return way.activation_bytes
    return 4 if shape.rms or way.autocast else way.activation_bytes


def _norms(shape: Shape, way: Way) -> Kept:
    of_layer, of_head = norm_bytes(shape, way), way.activation_bytes if way.fused and way.liger else 4
    heads = shape.head_norms / 2
    kept = of_layer * shape.norms * shape.hidden + of_head * heads * (shape.query_width + shape.kv_width)
    statistics = 4 * (shape.norms if shape.rms else 2 * shape.norms) + 4 * heads * (
        shape.heads + shape.kv_heads
    )
    why = "as they are" if of_layer < 4 else "in fp32, in which the norms compute"
    return Kept("inputs of norms", kept + statistics, why)


def _inputs(shape: Shape, way: Way) -> Kept:
    """What the gradient of A needs. The frozen weights need nothing of their input."""
    found = carriers(shape, way)
    if way.autocast:
        width = masks = sum(linear.inputs for linear in found)
        why = "a 16-bit copy for each LoRA layer, made by autocast"
    else:
        shared = {_source(shape, linear): linear.inputs for linear in found}
        masks = sum(shared.values())
        # What attention gives is kept by attention itself; dropout makes another of it.
        width = masks - (0 if way.dropout else shared.get("attention", 0))
        why = "once for the layers that share it"
    return Kept("inputs of LoRA", way.activation_bytes * width + way.dropout * masks, why)


def _source(shape: Shape, linear: Linear) -> str:
    """Whose output a linear layer reads."""
    names = [each.name for each in shape.linears if not each.router]
    out = next(place for place, name in enumerate(names) if name in ATTENTION_OUT)
    place = names.index(linear.name)
    if place < out:
        return "first norm"
    if place == out:
        return "attention"
    return (
        "product" if linear.inputs == shape.intermediate and linear.outputs == shape.hidden else "second norm"
    )


GATES = ("gate_proj", "up_proj", "down_proj")
ATTENTION_OUT = ("o_proj", "dense", "out_proj", "attn.c_proj")


def _low_rank(shape: Shape, way: Way) -> Kept:
    return Kept(
        "low-rank products",
        way.activation_bytes * way.r * len(carriers(shape, way)),
        "A x, for the gradient of B",
    )


def _room(shape: Shape, way: Way) -> Kept:
    """Columns behind the rows of what the norms give, where LoRA reads it, and of gate and up."""
    found = {_source(shape, linear) for linear in carriers(shape, way)}
    has = way.fused and not way.apart
    # With dropout another matrix is kept in place of what a norm gives (fast/lora.py).
    laid = has and way.stacked and shape.plain_layer and not way.dropout
    norms = len(found & {"first norm", "second norm"}) if laid else 0
    gates = sum(linear.name in GATES for linear in carriers(shape, way)) == len(GATES)
    columns = rooms.ROOM * (norms + (has and shape.three_gates and gates))
    # The low-rank part of q, k and v lies there and has no memory of its own.
    inside = sum(_source(shape, linear) == "first norm" for linear in carriers(shape, way)) if laid else 0
    shared = way.r * inside
    return Kept("room", way.activation_bytes * (columns - shared), "for low-rank parts behind rows")


def _attention(shape: Shape, way: Way) -> Kept:
    keys = shape.query_width if way.masked else shape.kv_width
    width = 2 * shape.query_width + 2 * keys
    if not any(
        linear.name == "v_proj" for linear in shape.linears
    ):  # values are a part of one tensor, kept as a whole
        width += shape.query_width + shape.kv_width
    # Softmax in fp32, and what was bent and what was multiplied in 16 bits
    scores = (4 + 2 * way.activation_bytes) * shape.heads * way.row_length if shape.scores else 0
    return Kept(
        "attention",
        way.activation_bytes * width + 4 * shape.heads + scores,
        "queries, keys, values, output, and a sum a head"
        + (f"; its scores over {way.row_length} tokens" if scores else "; never its scores"),
    )


def _mlp(shape: Shape, way: Way) -> Kept:
    width = _active_width(shape)
    if not shape.gated:
        count, why = (
            (4, "four steps of its activation")
            if shape.activation == "gelu_new"
            else (1, "before its activation")
        )
    elif way.fused and shape.three_gates and (way.liger or not way.apart):
        count, why = 2, "gate and up"
    else:
        count, why = 3, "gate, its activation, and up"
    return Kept("MLP", way.activation_bytes * count * width, why)


def _active_width(shape: Shape) -> float:
    """Of the MLP, or of the experts that a token goes through and the one for all."""
    if not shape.experts:
        return shape.intermediate
    down = [linear for linear in shape.linears if linear.name.endswith("down_proj")]
    return sum(linear.inputs * (shape.experts_per_token if linear.experts else 1) for linear in down)
