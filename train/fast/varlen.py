"""Causal attention over rows on one line, on plain tensors: torch's variable-length kernel, and row after row."""

import inspect
from functools import lru_cache
from typing import Any, Callable, Dict, Optional, Set, Tuple

import torch

from envdoc.train import compat

# Tokens of a row of whose multiples equal rows are laid in a batch of their own: few lengths, since cuDNN makes a plan
# for each, which takes 0.35 to 0.5 s (H200, torch 2.11, 2026-12-01): once a line held a single row, of any length.
LONG = 512
APART = 0.02  # of the largest number: bf16 rounds to 2^-8, and so do the probabilities in between

Kernel = Callable[..., torch.Tensor]


class Unfit(Exception):
    """This attention cannot be computed that way; the trial of packed.py goes on to the next form."""


@lru_cache(maxsize=1)
def torch_kernel() -> Optional[Kernel]:
    """torch's, or None. 2.10 takes neither scale nor window, 2.11 both, 2.12 and newer `enable_gqa` too."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return by_operator() or varlen_attn


def by_operator() -> Optional[Kernel]:
    """What `varlen_attn` calls, without what stands around it: an operator that is registered from Python.

    That takes the host some tenths of a millisecond a layer, and a GPU that is fed by a slow host waits for it. Its
    gradient is torch's own (derivatives.yaml). None where the operator takes other arguments.
    """
    operator = getattr(torch.ops.aten, "_flash_attention_forward", None)
    takes = {argument.name for argument in operator.default._schema.arguments} if operator else set()
    if not {"cum_seq_q", "return_debug_mask", "scale", "window_size_left", "window_size_right"} <= takes:
        return None

    def kernel(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cu_seq_q: torch.Tensor,
        cu_seq_k: torch.Tensor,
        max_q: int,
        max_k: int,
        *,
        scale: Optional[float] = None,
        window_size: Tuple[int, int] = (-1, -1),
    ) -> torch.Tensor:
        left, right = window_size
        return operator.default(  # type: ignore[no-any-return]
            query,
            key,
            value,
            cu_seq_q,
            cu_seq_k,
            max_q,
            max_k,
            0.0,  # dropout
            window_size == (-1, 0),
            False,  # return_debug_mask
            scale=scale,
            window_size_left=left,
            window_size_right=right,
        )[0]

    return kernel


def line(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scale: float,
    window: Optional[int],
) -> torch.Tensor:
    """query (tokens, heads, head), key and value with as many heads or fewer -> as query.

    `ends` (rows + 1) of int32 is where each row begins and the last one ends, `longest` the tokens of the longest. A
    token sees itself and the `window` - 1 before it, or all before it, of its own row. Raises Unfit.
    """
    kernel = torch_kernel()
    assert kernel is not None
    takes = _parameters(kernel)
    named: Dict[str, Any] = {}
    if "window_size" in takes:
        named["window_size"] = (-1 if window is None or window >= longest else window - 1, 0)
    else:
        named["is_causal"] = True
        if window is not None and window < longest:
            raise Unfit("torch 2.10's variable-length attention knows no windows")
    if "scale" in takes:
        named["scale"] = scale
    else:
        query = query * (scale * query.shape[-1] ** 0.5)
    if key.shape[1] != query.shape[1]:
        if _groups(query.device, query.dtype, query.shape[1], key.shape[1], query.shape[2]):
            named.update({"enable_gqa": True} if "enable_gqa" in takes else {})
        else:
            times = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    return kernel(query, key, value, ends, ends, longest, longest, **named)


def equal_rows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, length: int, scale: float
) -> torch.Tensor:
    """Rows of one length as a batch: (1, heads, tokens, head), key and value with as many heads or fewer -> as query.

    cuDNN's attention takes them in half the time of the variable-length kernel: forward and backward 1.92 ms against
    3.48 for 2 rows of 4,096 tokens with 32 heads (H200, torch 2.11, 2026-11-30). cuDNN's own variable-length form
    makes a plan anew for each call there (42 ms), and its gradients are wrong.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # By way of (rows, length, heads, head), as they lie in memory: each gradient is then copied once and not twice.
    parts = [
        part.transpose(1, 2).reshape(-1, length, part.shape[1], part.shape[3]).transpose(1, 2)
        for part in (query, key, value)
    ]
    kinds = [
        SDPBackend.CUDNN_ATTENTION,
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.MATH,
    ]
    with sdpa_kernel(kinds, set_priority=True):
        answer = torch.nn.functional.scaled_dot_product_attention(
            *parts, is_causal=True, scale=scale, enable_gqa=key.shape[1] != query.shape[1]
        )
    return answer.transpose(1, 2).reshape(1, -1, query.shape[1], query.shape[3])


@lru_cache(maxsize=1)
def prefers_equal_rows(device: torch.device) -> bool:
    """True where cuDNN's attention was seen to be the faster one: from sm_90 on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


@lru_cache(maxsize=8)
def _parameters(kernel: Kernel) -> Set[str]:
    return set(inspect.signature(kernel).parameters)


@lru_cache(maxsize=8)
def _groups(device: torch.device, dtype: torch.dtype, heads: int, fewer: int, size: int) -> bool:
    """Whether the kernel takes keys with fewer heads than queries, values and gradients; tried.

    torch 2.11 has no word for it, and hands them to flash attention, which can; 2.13 asks for `enable_gqa`.
    """
    kernel = torch_kernel()
    assert kernel is not None
    named: Dict[str, Any] = {"enable_gqa": True} if "enable_gqa" in _parameters(kernel) else {}
    named.update({"window_size": (-1, 0)} if "window_size" in _parameters(kernel) else {"is_causal": True})
    lengths = (37, 5, 22)
    places = torch.arange(sum(lengths) * heads * size, device=device, dtype=torch.float32)
    first = torch.sin(places * 0.7).reshape(sum(lengths), heads, size).to(dtype)
    second = torch.cos(places * 1.3).reshape(sum(lengths), heads, size).to(dtype)[:, :fewer]
    ends = torch.tensor([0, 37, 42, 64], dtype=torch.int32, device=device)
    told = []
    for grouped in (True, False):
        parts = [part.clone().requires_grad_() for part in (first, second, second * 0.5)]
        query, key, value = parts
        try:
            with torch.enable_grad():
                if not grouped:
                    key, value = (part.repeat_interleave(heads // fewer, 1) for part in (key, value))
                answer = kernel(query, key, value, ends, ends, 37, 37, **named)
                gradients = torch.autograd.grad((answer.float() * first.float()).sum(), parts)
        except (RuntimeError, ValueError, TypeError):
            return False
        told.append([part.float() for part in (answer.detach(), *gradients)])
    return all(
        float((one - other).abs().max()) <= APART * float(other.abs().max()) for one, other in zip(*told)
    )


def row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    dropout: float,
    window: Optional[int],
) -> torch.Tensor:
    """query (1, heads, tokens, head) of one row, key and value with as many heads or fewer -> as query."""
    times, length = query.shape[1] // key.shape[1], query.shape[2]
    if times > 1:
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    mask = None
    if window is not None and window < length:
        places = torch.arange(length, device=query.device)
        apart = places[:, None] - places[None, :]
        mask = (apart >= 0) & (apart < window)
    return torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        **compat.sdpa_scale(scale),
    )
