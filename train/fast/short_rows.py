"""Causal attention over short rows on one line, forward and backward, by Triton kernels that take a tile each.

torch's variable-length kernels (flash attention 2) begin as many programs for each row as the longest one asks for;
these take tiles of 64 tokens from a table (tiles.py), so that no program is empty. On an H200 with torch 2.11 and
Triton 3.6, 8,192 tokens in heads of 128, bf16, milliseconds forward and backward (2026-11-30, of the prototype, the
kernels alone):

    rows, heads of q and k                  these             torch's
    40 of 33 to 511 tokens, 32 and 32       0.104  0.335      0.239  0.552
    40 of 33 to 511 tokens, 32 and 8        0.092  0.280      0.237  0.618
    8 of 1,024, 32 and 32                   0.189  0.592      0.318  0.847

Errors against fp32 were those of torch's kernel, and gradients repeat bit for bit. Tiles are read past a row's end, and
what is read there gets the weight zero: a NaN or an infinity in one row can become a NaN in the row before it, which
elsewhere would stay where it is. Either way the update's loss is NaN, and that stops a run.
"""

import math
from functools import lru_cache
from typing import Any, Dict, List, Tuple

import torch

from envdoc.train.fast import kernels, tiles, varlen
from envdoc.train.fast.varlen import Unfit
from envdoc.train.progress import say

try:
    from triton.tools.tensor_descriptor import TensorDescriptor
except ImportError:  # no Triton, or one before 3.4
    TensorDescriptor = None

if TensorDescriptor is not None:
    from envdoc.train.fast import short_rows_kernels

# Numbers of a head, a power of two: 128 was measured; 64 takes fewer registers and is as right.
HEADS = (64, 128)
# The fastest of seven, six and eight on rows of 33 to 511 tokens (H200, 2026-11-30): BM queries at a time, BN keys.
FORWARD: Dict[str, Any] = {"BM": tiles.TILE, "BN": 64, "num_warps": 4, "num_stages": 1}
OF_QUERIES: Dict[str, Any] = {"BM": tiles.TILE, "BN": 32, "num_warps": 4, "num_stages": 2}
OF_KEYS: Dict[str, Any] = {"BM": 64, "BN": tiles.TILE, "num_warps": 4, "num_stages": 2}
TRIED_ON = (130, 5, 64, 65, 1, 23)  # rows of one tile and of several, full and not; 288 tokens
LOG2E = math.log2(math.e)


@lru_cache(maxsize=8)
def is_for(device: torch.device) -> bool:
    """True on the GPUs on which these kernels were seen to be the faster ones, with a Triton that has what they use."""
    return TensorDescriptor is not None and kernels.is_measured(device)


def why_not(dtype: torch.dtype, heads: int, fewer: int, size: int) -> str:
    """What these kernels lack for attention of this kind, as a sentence's part; "" where nothing."""
    if dtype not in (torch.bfloat16, torch.float16):
        return f"no kernel in {dtype}"
    if size not in HEADS:
        return f"no kernel for heads of {size} numbers"
    return "" if heads % fewer == 0 else f"{heads} heads of queries do not share {fewer} of keys"


def line(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, laid: torch.Tensor, scale: float
) -> torch.Tensor:
    """query (tokens, heads, head), key and value with as many heads or fewer -> as query; `laid` is by `tiles.of`.

    Raises Unfit where there is no kernel for them, or where it is wrong on this device, which is tried once.
    """
    kind = (query.dtype, query.shape[1], key.shape[1], query.shape[2])
    why = why_not(*kind)
    if why:
        raise Unfit(why)
    if not is_right(query.device, *kind):
        raise Unfit("attention over short rows is wrong here")
    return attend(query, key, value, laid, scale)


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, laid: torch.Tensor, scale: float
) -> torch.Tensor:
    """`line` without questions."""
    answer: torch.Tensor = _Attention.apply(query, key, value, laid, scale)
    return answer


@lru_cache(maxsize=8)
def is_right(device: torch.device, dtype: torch.dtype, heads: int, fewer: int, size: int) -> bool:
    """Whether the kernels, as they are compiled here, give what torch gives row by row in fp32, and its gradients.

    The trial of packed.py sees what the model answers, and a wrong gradient would be seen by nobody.
    """
    tokens, scale = sum(TRIED_ON), size**-0.5
    generator = torch.Generator().manual_seed(0)  # its own: a run draws what it would draw without this
    drawn = [
        torch.randn(tokens, count, size, generator=generator).to(device, dtype)
        for count in (heads, fewer, fewer, heads)
    ]
    given = [2 * drawn[0], *drawn[1:3]]  # scores so far apart that a single wrong one shows
    laid = tiles.of(TRIED_ON).to(device)

    def by_kernels(*parts: torch.Tensor) -> torch.Tensor:
        return attend(*parts, laid, scale)

    def row_by_row(*parts: torch.Tensor) -> torch.Tensor:
        split = [part.transpose(0, 1)[None].split(TRIED_ON, dim=2) for part in parts]
        rows = [varlen.row(*row, scale, 0.0, None) for row in zip(*split)]
        return torch.cat(rows, dim=2)[0].transpose(0, 1)

    told: List[Tuple[torch.Tensor, ...]] = []
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        for way, exact in ((by_kernels, dtype), (row_by_row, torch.float32)):
            parts = [part.to(exact, copy=True).requires_grad_() for part in given]
            answer = way(*parts)
            gradients = torch.autograd.grad(answer, parts, drawn[3].to(exact))
            told.append((answer.detach(), *gradients))
    apart = [float((one.float() - other).abs().max() / other.abs().max()) for one, other in zip(*told)]
    if all(share <= varlen.APART for share in apart):
        return True
    shares = ", ".join(f"{100 * share:.1f}%" for share in apart)
    say(
        f"note: Attention over short rows is left to torch: envdoc's kernels differ from it here, by {shares} of the "
        f"largest number in the answer and in the gradients of q, k and v (allowed: {100 * varlen.APART:.0f}%)."
    )
    return False


class _Attention(torch.autograd.Function):
    """q, k, v -> o; kept are these four and the logarithms of the softmax's sums, (heads, tokens) of fp32."""

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, laid: torch.Tensor, scale: float
    ) -> torch.Tensor:
        q, k, v = (_side_by_side(part) for part in (q, k, v))
        tokens, heads, size = q.shape
        o = q.new_empty(q.shape)
        lse = q.new_empty((heads, tokens), dtype=torch.float32)
        with kernels.on_device_of(q):
            short_rows_kernels.forward[(heads, laid.shape[0])](
                _seen(q, FORWARD["BM"]), *(_seen(part, FORWARD["BN"]) for part in (k, v)), o, lse, laid, tokens,
                scale * LOG2E, o.stride(0), GROUP=heads // k.shape[1], D=size, **FORWARD,
            )  # fmt: skip
        ctx.save_for_backward(q, k, v, o, lse, laid)
        ctx.scale = scale
        return o

    @staticmethod
    def backward(ctx: Any, do: torch.Tensor) -> Any:
        q, k, v, o, lse, laid = ctx.saved_tensors
        do, scale = _side_by_side(do), ctx.scale
        (tokens, heads, size), fewer = q.shape, k.shape[1]
        dq, dk, dv = q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)
        delta = torch.empty_like(lse)
        named = {"GROUP": heads // fewer, "D": size}
        with kernels.on_device_of(q):
            m, n = OF_QUERIES["BM"], OF_QUERIES["BN"]
            short_rows_kernels.of_queries[(heads, laid.shape[0])](
                _seen(do, m), _seen(q, m), _seen(k, n), _seen(v, n), _seen(o, m), lse, delta, dq, laid, tokens,
                scale, scale * LOG2E, dq.stride(0), **named, **OF_QUERIES,
            )  # fmt: skip
            m, n = OF_KEYS["BM"], OF_KEYS["BN"]
            short_rows_kernels.of_keys[(fewer, laid.shape[0])](
                _seen(do, m), _seen(q, m), _seen(k, n), _seen(v, n), lse, delta, dk, dv, laid, tokens,
                scale, scale * LOG2E, dk.stride(0), **named, **OF_KEYS,
            )  # fmt: skip
        return dq, dk, dv, None, None


def _side_by_side(x: torch.Tensor) -> torch.Tensor:
    """With the heads of a token next to each other, as the accelerator reads them, 16 bytes at least at a time."""
    near = x.stride(2) == 1 and (x.shape[1] == 1 or x.stride(1) == x.shape[2])
    whole = x.stride(0) * x.element_size() % 16 == 0 and x.data_ptr() % 16 == 0
    if near and whole and x.stride(0) > 0:  # 0 where a gradient is the same for all tokens
        return x
    return x.clone(memory_format=torch.contiguous_format)


def _seen(x: torch.Tensor, tokens: int) -> Any:
    """x (tokens, heads, head) for the tensor memory accelerator: so many tokens of one head at a time."""
    count, heads, size = x.shape
    return TensorDescriptor(x, [count, heads * size], [x.stride(0), 1], [tokens, size])
