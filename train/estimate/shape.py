"""The shape of a model, from its config.json alone: no weights, no torch, no transformers."""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from envdoc.train.errors import ModelError
from envdoc.train.estimate.families import CHATGLM_ONE, FAMILIES, KEYS, Family


@dataclass(frozen=True)
class Linear:
    """A matrix of one layer, (outputs, inputs)."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False
    experts: int = 0  # above 0: so many matrices in one three-dimensional weight, which is no nn.Linear
    router: bool = False  # which expert a token goes to; no adapter is laid on it

    @property
    def numbers(self) -> int:
        """How many weights, without a bias."""
        return self.inputs * self.outputs * max(1, self.experts)


@dataclass(frozen=True)
class Shape:
    """Every number on which memory and speed depend."""

    family: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool  # embeddings and head are one weight
    gated: bool
    rms: bool
    linears: Tuple[Linear, ...]  # of one layer
    layer_rest: int  # norms and other vectors of one layer, biases not counted
    outside_rest: int  # of what is neither in a layer nor embedding or head
    positions: int = 0  # learnt ones
    norms: int = 2  # of the hidden width, in one layer
    head_norms: int = 0
    activation: str = "silu"  # as config.json names it
    plain_layer: bool = False  # x + attention(norm(x)), then x + mlp(norm(x))
    scores: bool = False  # whether attention's scores exist as a whole
    window: Optional[int] = None  # tokens that attention reaches back, where every layer is bounded
    some_window: Optional[int] = None  # the same of some layers or all
    experts: int = 0
    experts_per_token: int = 0

    @property
    def three_gates(self) -> bool:
        """True for an MLP of gate, up and down without biases and with SiLU, which train/fast computes in one step."""
        names = {linear.name: linear.bias for linear in self.linears}
        wanted = [names.get(name) for name in ("gate_proj", "up_proj", "down_proj")]
        return wanted == [False] * 3 and self.activation in ("silu", "swish")

    @property
    def query_width(self) -> int:
        """All heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """All key heads together."""
        return self.kv_heads * self.head_dim

    @property
    def layer_linears(self) -> int:
        """Weights of one layer's nn.Linear modules: what is quantised."""
        return sum(linear.numbers for linear in self.linears if not linear.experts)

    @property
    def layer_experts(self) -> int:
        """Weights of one layer's fused experts, which bitsandbytes leaves as they are."""
        return sum(linear.numbers for linear in self.linears if linear.experts)

    @property
    def layer_vectors(self) -> int:
        """Norms and biases of one layer."""
        return self.layer_rest + sum(linear.outputs for linear in self.linears if linear.bias)

    @property
    def embedding(self) -> int:
        """Numbers in the input embedding, learnt positions with it."""
        return (self.vocabulary + self.positions) * self.hidden

    @property
    def head(self) -> int:
        """Numbers in the output head that are not the embedding's."""
        return 0 if self.tied else self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        layer = self.layer_linears + self.layer_experts + self.layer_vectors
        return self.layers * layer + self.embedding + self.head + self.outside_rest

    @property
    def multiplied(self) -> int:
        """Weights that a token is multiplied by: all linear layers, its own experts, and the head."""
        used = [linear.numbers * self._share(linear) for linear in self.linears]
        return int(self.layers * sum(used)) + self.vocabulary * self.hidden

    def _share(self, linear: Linear) -> float:
        return self.experts_per_token / linear.experts if linear.experts else 1.0


def read_shape(path: Path) -> Shape:
    """The shape in that folder's config.json, or in that file. Raises ModelError."""
    file = path / "config.json" if path.is_dir() else path
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"There is no `{file}`.",
            "Name a folder with a config.json, or the file itself; weights are not needed.",
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"`{file}` cannot be read: {error}.") from None
    if not isinstance(described, dict):
        raise ModelError(f"`{file}` holds no object, so it is no model's config.json.")
    return shape_of(described, str(file))


def shape_of(config: Mapping[str, Any], where: str = "config.json") -> Shape:
    """The shape that a config.json describes. Raises ModelError for a family or a layer that is not known."""
    if isinstance(config.get("text_config"), dict):  # the language half of a model that also sees
        config = config["text_config"]
    kind = str(config.get("model_type"))
    family = _family(kind, config, where)
    said = {name: _number(config, name, where) for name in ("hidden", "layers", "heads", "vocabulary")}
    hidden, heads = said["hidden"], said["heads"]
    head_dim = _maybe(config, "head_dim") or hidden // heads
    groups = _maybe(config, "kv_heads") if config.get("multi_query_attention", True) else None
    kv_heads = groups or heads
    intermediate = _maybe(config, "intermediate") or 4 * hidden
    linears = _attention(family, hidden, heads * head_dim, kv_heads * head_dim)
    experts = 0
    if family.experts:
        linears += _experts(config, kind, hidden, intermediate, where)
        experts = _number(config, "experts", where)
    else:
        linears += _mlp(family, hidden, intermediate)
    biased = {
        *family.biased,
        *(name for key, names in family.bias_keys if _on(config, kind, key) for name in names),
    }
    vector = hidden * (1 if family.rms else 2)
    norms = 1 if kind == "stablelm" and config.get("use_parallel_residual") else family.norms
    wide = heads * head_dim + kv_heads * head_dim if family.wide_norms else 0
    positions = _maybe_key(config, family.positions, where) + family.more_positions if family.positions else 0
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    window = window if isinstance(window, int) else None
    return Shape(
        family=kind,
        hidden=hidden,
        intermediate=intermediate,
        layers=said["layers"],
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=said["vocabulary"],
        tied=bool(config.get("tie_word_embeddings", family.tied)),
        gated=family.gated,
        rms=family.rms,
        linears=tuple(_with_bias(linear, biased) for linear in linears),
        layer_rest=norms * vector + family.head_norms * head_dim + wide,
        outside_rest=vector * (2 if family.embedding_norm else 1) + said["vocabulary"] * family.head_bias,
        positions=positions,
        norms=norms,
        head_norms=family.head_norms,
        activation=_word(config, "activation") or family.activation,
        plain_layer=family.plain_layer,
        scores=family.scores,
        window=window if "layer_types" not in config else None,
        some_window=window,
        experts=experts,
        experts_per_token=_number(config, "experts_per_token", where) if experts else 0,
    )


def _family(kind: str, config: Mapping[str, Any], where: str) -> Family:
    if kind == "chatglm" and "multi_query_attention" not in config:
        return CHATGLM_ONE
    if kind in FAMILIES:
        return FAMILIES[kind]
    near = difflib.get_close_matches(kind, FAMILIES, 2, 0.5)
    raise ModelError(
        f"`{where}` describes a model of the kind `{kind}`, whose layers envdoc does not know without its weights.",
        f"Near: {', '.join(near)}." if near else f"Known are: {', '.join(sorted(FAMILIES))}.",
    )


def _attention(family: Family, hidden: int, queries: int, keys: int) -> Tuple[Linear, ...]:
    if len(family.attention) == 1:
        first: Tuple[Linear, ...] = (Linear(family.attention[0], hidden, queries + 2 * keys),)
    else:
        first = tuple(Linear(name, hidden, out) for name, out in zip(family.attention, (queries, keys, keys)))
    return (*first, Linear(family.out, queries, hidden))


def _mlp(family: Family, hidden: int, intermediate: int) -> Tuple[Linear, ...]:
    *ins, out = family.mlp
    width = intermediate * 2 if family.gated and len(ins) == 1 else intermediate
    return (*(Linear(name, hidden, width) for name in ins), Linear(out, intermediate, hidden))


def _experts(
    config: Mapping[str, Any], kind: str, hidden: int, intermediate: int, where: str
) -> Tuple[Linear, ...]:
    """The router and the experts, fused since transformers 5 (before, each was three nn.Linear), and one for all."""
    if config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        raise ModelError(
            f"`{where}` mixes layers with and without experts, which the estimate does not know."
        )
    count = _number(config, "experts", where)
    width = int(config.get("moe_intermediate_size") or intermediate)
    found = [
        Linear("gate", hidden, count, router=True),
        Linear("gate_up_proj", hidden, 2 * width, experts=count),
        Linear("down_proj", width, hidden, experts=count),
    ]
    shared = config.get("shared_expert_intermediate_size")
    if kind == "qwen2_moe" and shared:
        found += [Linear(f"shared_expert.{name}", hidden, int(shared)) for name in ("gate_proj", "up_proj")]
        found += [Linear("shared_expert.down_proj", int(shared), hidden)]
        found += [Linear("shared_expert_gate", hidden, 1)]
    return tuple(found)


def _with_bias(linear: Linear, biased: "set[str]") -> Linear:
    return Linear(
        linear.name, linear.inputs, linear.outputs, linear.name in biased, linear.experts, linear.router
    )


def _on(config: Mapping[str, Any], kind: str, key: str) -> bool:
    """A truth value of config.json; NeoX's and Starcoder 2's biases are there unless it says otherwise."""
    silent = (kind, key) in (("gpt_neox", "attention_bias"), ("starcoder2", "use_bias"))
    return bool(config.get(key, silent))


def _maybe(config: Mapping[str, Any], name: str) -> Optional[int]:
    found = [config[key] for key in KEYS[name] if isinstance(config.get(key), int)]
    return int(found[0]) if found else None


def _word(config: Mapping[str, Any], name: str) -> Optional[str]:
    return next((config[key] for key in KEYS[name] if isinstance(config.get(key), str)), None)


def _number(config: Mapping[str, Any], name: str, where: str) -> int:
    found = _maybe(config, name)
    if found is None or found < 1:
        raise ModelError(f"`{where}` has no `{'`, `'.join(KEYS[name])}`, so the model's size is not known.")
    return found


def _maybe_key(config: Mapping[str, Any], key: Optional[str], where: str) -> int:
    value = config.get(key or "")
    if not isinstance(value, int):
        raise ModelError(f"`{where}` has no `{key}`, so the model's size is not known.")
    return value


def as_document(shape: Shape) -> Dict[str, Any]:
    """For JSON."""
    return {
        "family": shape.family,
        "parameters": shape.parameters,
        "layers": shape.layers,
        "hidden": shape.hidden,
        "intermediate": shape.intermediate,
        "heads": shape.heads,
        "kv_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocabulary": shape.vocabulary,
        "tied": shape.tied,
        "experts": shape.experts,
    }
