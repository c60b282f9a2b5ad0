"""A model's parameters counted from its config.json: no weights are read, nothing is imported.

Each family's count is that of its modelling code in transformers, of whose results tests hold the published numbers.
A family that is not here tells nothing, which is better than a guess.
"""

import dataclasses
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from envdoc.doctor.facts.snapshot import WantedModel

Config = Mapping[str, Any]


class Counts(NamedTuple):
    """`linear` is what 8 and 4 bit shrink; `per_rank` the parameters that an adapter of rank 1 has on all of it."""

    parameters: int
    linear: int
    per_rank: int


def with_config(model: WantedModel, config: Config) -> WantedModel:
    """The model with what its config.json tells; a number that is missing or no number tells nothing."""
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) and "hidden_size" in inner else config
    found = counts(text)
    return dataclasses.replace(
        model,
        model_type=str(config.get("model_type") or "")[:40],
        parameters=found.parameters if found else model.parameters,
        linear_parameters=found.linear if found else model.linear_parameters,
        lora_parameters_per_rank=found.per_rank if found else model.lora_parameters_per_rank,
        is_quantized=isinstance(config.get("quantization_config"), dict),
    )


def counts(config: Config) -> Optional[Counts]:
    """The parameters of a causal language model of that configuration, or None for a family that is not known."""
    family = FAMILIES.get(str(config.get("model_type")))
    try:
        found = family(config) if family else None
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return found if found and 0 < found.parameters < 10**15 else None


def _total(layers: int, shapes: List[Tuple[int, int]], beside: int, outside: int) -> Counts:
    """`shapes` of one layer's linear modules (in, out); `beside` them in a layer, `outside` all layers."""
    linear = layers * sum(wide * high for wide, high in shapes)
    per_rank = layers * sum(wide + high for wide, high in shapes)
    return Counts(linear + layers * beside + outside, linear, per_rank)


def _llama(c: Config) -> Counts:
    """Llama and its many kin: grouped queries, a gated MLP, RMS norms; Mixtral's and Qwen's experts as well."""
    hidden, layers, kind = c["hidden_size"], c["num_hidden_layers"], c["model_type"]
    heads = c["num_attention_heads"]
    size = c.get("head_dim") or hidden // heads
    queries, values = heads * size, (c.get("num_key_value_heads") or heads) * size
    attention = [(hidden, queries), (hidden, values), (hidden, values), (queries, hidden)]
    beside = 2 * hidden * (2 if kind in ("gemma2", "gemma3_text") else 1)
    if kind in ("qwen2", "qwen2_moe"):
        beside += queries + 2 * values
    elif c.get("attention_bias"):
        beside += queries + 2 * values + hidden
    if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
        beside += 2 * size
    tied = c.get("tie_word_embeddings", kind.startswith("gemma"))
    outside = c["vocab_size"] * hidden * (1 if tied else 2) + hidden
    experts = c.get("num_local_experts") or c.get("num_experts") or 0
    if not experts:
        return _total(layers, attention + _gated(hidden, c["intermediate_size"]), beside, outside)
    mixed = attention + _gated(hidden, c.get("moe_intermediate_size") or c["intermediate_size"]) * experts
    if c.get("shared_expert_intermediate_size"):
        mixed += _gated(hidden, c["shared_expert_intermediate_size"])
        beside += hidden
    step = c.get("decoder_sparse_step") or 1
    plain = set(c.get("mlp_only_layers") or ())
    sparse = sum(1 for n in range(layers) if n not in plain and (n + 1) % step == 0)
    most = _total(sparse, mixed, beside + hidden * experts, outside)
    rest = _total(layers - sparse, attention + _gated(hidden, c["intermediate_size"]), 2 * hidden, 0)
    return Counts(*(one + other for one, other in zip(most, rest)))


def _gated(hidden: int, inner: int) -> List[Tuple[int, int]]:
    return [(hidden, inner), (hidden, inner), (inner, hidden)]


def _gpt2(c: Config) -> Counts:
    hidden, inner = c["n_embd"], c.get("n_inner") or 4 * c["n_embd"]
    shapes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)]
    biases = 3 * hidden + hidden + inner + hidden
    places = c.get("n_positions") or 1024
    return _total(c["n_layer"], shapes, biases + 4 * hidden, (c["vocab_size"] + places) * hidden + 2 * hidden)


def _gpt_neox(c: Config) -> Counts:
    hidden, inner = c["hidden_size"], c["intermediate_size"]
    shapes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)]
    biases = 3 * hidden + hidden + inner + hidden
    tables = 1 if c.get("tie_word_embeddings") else 2
    return _total(
        c["num_hidden_layers"], shapes, biases + 4 * hidden, tables * c["vocab_size"] * hidden + 2 * hidden
    )


def _chatglm(c: Config) -> Counts:
    """ChatGLM 2 and 3, and by its other names of fields the first ChatGLM-6B."""
    hidden, layers = c["hidden_size"], c["num_layers"]
    if "inner_hidden_size" in c:
        inner = c["inner_hidden_size"]
        shapes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)]
        biases = 3 * hidden + hidden + inner + hidden
        return _total(layers, shapes, biases + 4 * hidden, c["vocab_size"] * hidden + 2 * hidden)
    queries = c["num_attention_heads"] * c["kv_channels"]
    groups = c["multi_query_group_num"] if c.get("multi_query_attention") else c["num_attention_heads"]
    packed = queries + 2 * groups * c["kv_channels"]
    inner = c["ffn_hidden_size"]
    shapes = [(hidden, packed), (queries, hidden), (hidden, 2 * inner), (inner, hidden)]
    bias = packed if c.get("add_qkv_bias") else 0
    return _total(layers, shapes, bias + 2 * hidden, 2 * c["padded_vocab_size"] * hidden + hidden)


def _opt(c: Config) -> Counts:
    hidden, inner = c["hidden_size"], c["ffn_dim"]
    if c.get("word_embed_proj_dim", hidden) != hidden:
        raise ValueError("a projected embedding")
    shapes = [(hidden, hidden)] * 4 + [(hidden, inner), (inner, hidden)]
    places = c["max_position_embeddings"] + 2
    outside = (c["vocab_size"] + places) * hidden + 2 * hidden
    return _total(c["num_hidden_layers"], shapes, 5 * hidden + inner + 4 * hidden, outside)


def _bloom(c: Config) -> Counts:
    hidden = c.get("hidden_size") or c["n_embed"]
    layers = c.get("n_layer") or c["num_hidden_layers"]
    shapes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, 4 * hidden), (4 * hidden, hidden)]
    return _total(layers, shapes, 9 * hidden + 4 * hidden, c["vocab_size"] * hidden + 4 * hidden)


_LLAMAS: Tuple[str, ...] = (
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "gemma",
    "gemma2",
)
_LLAMAS += ("gemma3_text", "phi3", "internlm2", "baichuan", "yi", "granite")
FAMILIES: Dict[str, Callable[[Config], Counts]] = {
    **{name: _llama for name in _LLAMAS},
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "chatglm": _chatglm,
    "opt": _opt,
    "bloom": _bloom,
}
