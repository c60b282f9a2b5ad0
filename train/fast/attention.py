"""Attention over rows that lie end to end on one line, none seeing another, and no mask at all.

    short    rows of up to 1,024 tokens by kernels of ours (short_rows.py; sm_90, heads of 64 or 128); lines with a
             longer row, or a window that is shorter than it, as the next
    varlen   torch's variable-length attention (2.10 and newer, CUDA, sm_80, bf16 or fp16): one kernel for all rows
    flash    transformers' own flash_attention_2 or 3, where the package is installed: the same kernel, with soft caps
    rows     one causal `scaled_dot_product_attention` a row: any torch, device and dtype, and 45 launches for 45 rows

flex_attention is left out: transformers compiles it for each new length of a line, and lines differ in length. The
4-D mask of packed.py comes last: 8,192 tokens are 64 MiB of it, and every pair of tokens is computed.

A model takes `envdoc_varlen` or `envdoc_rows` through transformers' AttentionInterface (4.48) while it trains, and
is itself again outside of training passes: evaluation and proof know nothing of it. The rows' ends come with the batch
under transformers' own names (cu_seq_lens_q ...), so that nobody asks the GPU for them.
"""

from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ContextManager, Iterator, List, Optional, Sequence, Set, Tuple
from weakref import WeakKeyDictionary

import torch

from envdoc.train import compat, compat_packing
from envdoc.train.fast import lines, short_rows, varlen
from envdoc.train.fast.varlen import Unfit
from envdoc.train.forms import Form, as_it_is

PREFIX = "envdoc_"
# What changes the scores beyond scale and window: soft caps (Gemma 2), sinks (GPT-OSS), biases (ALiBi, T5).
REFUSED = ("softcap", "s_aux", "position_bias", "head_mask", "block_mask", "score_mod")


def forms(model: Any, max_length: int, dtype: torch.dtype) -> List[Form]:
    """The forms over flat lines to try on this model, fastest first; `dtype` is that of the products."""
    device = model.get_input_embeddings().weight.device
    if _chunked(model.config, max_length):
        return []
    tried: List[Form] = []
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        drops = bool(getattr(model.config, "attention_dropout", 0))  # the kernel has none
        able = torch.cuda.get_device_capability(device) >= (8, 0) and varlen.torch_kernel() is not None
        if able and not drops:
            whole = form("varlen", PREFIX + "varlen")
            if short_rows.is_for(device):
                tried.append(replace(whole, name="short", layout="tiled", otherwise=whole))
            tried.append(whole)
        tried += [form("flash", name) for name in compat_packing.installed_flash()]
    if device.type == "cuda":
        tried.append(form("rows", PREFIX + "rows"))
    return tried if register() else []


def form(name: str, attention: str) -> Form:
    """Rows on a flat line, attended to by what transformers knows as `attention`."""
    ahead = lines.with_lengths if name == "rows" else lines.with_ends
    # Found once for a model: to go through its modules took 5 ms of each update, in which the GPU waited (2026-11-30).
    configs: WeakKeyDictionary[Any, List[Any]] = WeakKeyDictionary()

    def around(model: Any) -> ContextManager[None]:
        if model not in configs:
            configs[model] = compat_packing.configs_of(model)
        return attending(configs[model], attention)

    return Form(name, as_it_is, "flat", ahead, around)


def register() -> bool:
    """Make ours known to transformers; False where it has no AttentionInterface."""
    try:
        from transformers import AttentionInterface
    except ImportError:
        return False
    AttentionInterface.register(PREFIX + "varlen", by_varlen)
    AttentionInterface.register(PREFIX + "rows", by_rows)
    return True


def by_varlen(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **told: Any
) -> Tuple[torch.Tensor, None]:
    """One kernel over a line: query (1, heads, tokens, head), key and value with as many heads or fewer."""
    _check(attention_mask, told)
    if told.get("dropout"):
        raise Unfit("torch's variable-length attention drops nothing out")
    query, key, value = _alike(query, key, value)
    length, window = told.get(lines.ONE_LENGTH, 0), told.get("sliding_window")
    longest, laid = int(told["max_length_q"]), told.get(lines.TILES)
    scale = told.get("scaling") or query.shape[-1] ** -0.5
    if (
        laid is None
        and length
        and length % varlen.LONG == 0
        and (window is None or window >= length)
        and varlen.prefers_equal_rows(query.device)
    ):
        return varlen.equal_rows(query, key, value, length, scale), None
    # Not `[0]`, whose way back fills a tensor with zeros and copies the gradient into it.
    query, key, value = (part.transpose(1, 2).squeeze(0) for part in (query, key, value))
    if laid is not None and (window is None or window >= longest):
        return short_rows.line(query, key, value, laid, scale)[None], None
    if "cu_seq_lens_q" not in told:  # while it is recorded (graphs.py)
        raise Unfit(f"a layer sees {window} tokens back, and a row may have {longest}")
    return varlen.line(query, key, value, told["cu_seq_lens_q"], longest, scale, window)[None], None


def by_rows(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **told: Any
) -> Tuple[torch.Tensor, None]:
    """The same, row by row."""
    _check(attention_mask, told)
    parts = [part.split(told[lines.LENGTHS], dim=2) for part in _alike(query, key, value)]
    scale = told.get("scaling") or query.shape[-1] ** -0.5
    dropout, window = told.get("dropout", 0.0), told.get("sliding_window")
    rows = [varlen.row(*row, scale, dropout, window) for row in zip(*parts)]
    return torch.cat(rows, dim=2).transpose(1, 2), None


windows_seen: Set[int] = set()  # the sliding windows that layers told since it was last emptied


def misses_window(model: Any, form: Form, max_length: int) -> Optional[str]:
    """Why the form is wrong for rows longer than the model's window, which the short rows of a trial do not show."""
    window = compat_packing.window_of(model.config)
    ours = form.name in ("short", "varlen", "rows")
    if not ours or window is None or window >= max_length or window in windows_seen:
        return None
    return f"no layer tells its window of {window} tokens"


@contextmanager
def attending(configs: Sequence[Any], name: str) -> Iterator[None]:
    """The layers of these configurations attend by `name`; afterwards as before."""
    before = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            config._attn_implementation = name
        yield
    finally:
        for config, was in zip(configs, before):
            config._attn_implementation = was


def _check(mask: Any, told: Any) -> None:
    if mask is not None:
        raise Unfit("a mask beside rows' ends")
    for name in REFUSED:
        if told.get(name) is not None:
            raise Unfit(f"`{name}` changes the scores")
    if told.get("sliding_window"):
        windows_seen.add(int(told["sliding_window"]))


def _alike(*parts: torch.Tensor) -> Sequence[torch.Tensor]:
    """In one dtype: autocast's, where it is on, as sdpa would; else the values', since rotation may be in fp32."""
    device = parts[0].device.type
    dtype = compat.autocast_dtype(device) if compat.autocasts(device) else parts[-1].dtype
    return [part.to(dtype) for part in parts]


def _chunked(config: Any, max_length: int) -> bool:
    """Llama 4 cuts its local layers' attention into chunks by the mask alone, which a line has not."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    chunk = getattr(text, "attention_chunk_size", None)
    return bool(chunk) and int(chunk) < max_length
