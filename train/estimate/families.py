"""What a family of models is made of, and where its config.json says how large: one row a family.

Read off transformers 5.23's modelling files and, for ChatGLM, its own code; tests/train/test_estimate_shape.py builds
each family without weights and compares every linear layer and the number of parameters.
"""

from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple

SPLIT = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True)
class Family:
    """One layer of the family, and what stands around the layers."""

    attention: Tuple[str, ...] = SPLIT  # or one name: query, key and value in one
    out: str = "o_proj"
    mlp: Tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")  # the last one goes back to the hidden width
    gated: bool = True  # the MLP multiplies an activated half by another
    rms: bool = True  # RMSNorm: one weight vector, computed in fp32; else LayerNorm with a bias
    norms: int = 2  # of the hidden width, in each layer
    head_norms: int = 0  # norms of one head's width: on queries and keys
    wide_norms: bool = False  # norms of the whole query and key width
    biased: Tuple[str, ...] = ()  # linear layers that have a bias
    bias_keys: Tuple[
        Tuple[str, Tuple[str, ...]], ...
    ] = ()  # a key of config.json that gives these layers one
    positions: Optional[str] = None  # the key that counts learnt positions
    more_positions: int = 0
    embedding_norm: bool = False
    head_bias: bool = False
    tied: bool = (
        False  # where config.json is silent: transformers writes no value that equals its base default
    )
    experts: bool = False
    activation: str = "silu"  # where config.json is silent
    plain_layer: bool = False  # x + attention(norm(x)), then x + mlp(norm(x)): what train/fast/layer.py takes
    scores: bool = False  # attention that bends its scores, so that they exist as a whole


NEOX_MLP = ("dense_h_to_4h", "dense_4h_to_h")
ATTENTION_BIAS = ("attention_bias", (*SPLIT, "o_proj"))
LLAMA = Family(
    plain_layer=True, bias_keys=(ATTENTION_BIAS, ("mlp_bias", ("gate_proj", "up_proj", "down_proj")))
)
PLAIN = dict(gated=False, rms=False, activation="gelu")

FAMILIES: Dict[str, Family] = {
    "llama": LLAMA,
    "granite": replace(LLAMA, plain_layer=False),
    "smollm3": replace(LLAMA, tied=True),
    "mistral": Family(plain_layer=True),
    "qwen2": Family(plain_layer=True, biased=SPLIT),
    "qwen3": Family(plain_layer=True, head_norms=2, bias_keys=(ATTENTION_BIAS,)),
    "gemma": Family(tied=True, activation="gelu", bias_keys=(ATTENTION_BIAS,)),
    "gemma2": Family(tied=True, norms=4, activation="gelu", scores=True, bias_keys=(ATTENTION_BIAS,)),
    "gemma3_text": Family(tied=True, norms=4, activation="gelu", head_norms=2, bias_keys=(ATTENTION_BIAS,)),
    "phi3": Family(attention=("qkv_proj",), mlp=("gate_up_proj", "down_proj")),
    "phi": Family(
        out="dense",
        mlp=("fc1", "fc2"),
        norms=1,
        biased=(*SPLIT, "dense", "fc1", "fc2"),
        head_bias=True,
        **PLAIN,
    ),
    "gpt2": Family(
        attention=("c_attn",),
        out="attn.c_proj",
        mlp=("c_fc", "mlp.c_proj"),
        biased=("c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"),
        positions="n_positions",
        tied=True,
        **PLAIN,
    ),
    "gptj": Family(
        out="out_proj", mlp=("fc_in", "fc_out"), norms=1, biased=("fc_in", "fc_out"), head_bias=True, **PLAIN
    ),
    "gpt_neox": Family(
        attention=("query_key_value",),
        out="dense",
        mlp=NEOX_MLP,
        biased=NEOX_MLP,
        bias_keys=(("attention_bias", ("query_key_value", "dense")),),
        **PLAIN,
    ),
    "bloom": Family(
        attention=("query_key_value",),
        out="dense",
        mlp=NEOX_MLP,
        biased=("query_key_value", "dense", *NEOX_MLP),
        embedding_norm=True,
        tied=True,
        **PLAIN,
    ),
    "opt": Family(
        out="out_proj",
        mlp=("fc1", "fc2"),
        biased=(*SPLIT, "out_proj", "fc1", "fc2"),
        positions="max_position_embeddings",
        more_positions=2,
        tied=True,
        **PLAIN,
    ),
    "starcoder2": Family(
        mlp=("c_fc", "c_proj"),
        bias_keys=(("use_bias", (*SPLIT, "o_proj", "c_fc", "c_proj")),),
        tied=True,
        **PLAIN,
    ),
    "stablelm": Family(rms=False, bias_keys=(("use_qkv_bias", SPLIT),)),
    "olmo2": Family(wide_norms=True, bias_keys=(ATTENTION_BIAS,)),
    "glm": Family(plain_layer=True, biased=SPLIT, mlp=("gate_up_proj", "down_proj")),
    "glm4": Family(biased=SPLIT, mlp=("gate_up_proj", "down_proj"), norms=4),
    "chatglm": Family(  # ChatGLM2 and 3; the first is CHATGLM_ONE
        attention=("query_key_value",),
        out="dense",
        mlp=NEOX_MLP,
        bias_keys=(
            ("add_qkv_bias", ("query_key_value",)),
            ("add_bias_linear", ("query_key_value", "dense", *NEOX_MLP)),
        ),
    ),
    "mixtral": Family(experts=True),
    "qwen2_moe": Family(biased=SPLIT, experts=True),
    "qwen3_moe": Family(head_norms=2, bias_keys=(ATTENTION_BIAS,), experts=True),
}
CHATGLM_ONE = Family(
    attention=("query_key_value",),
    out="dense",
    mlp=NEOX_MLP,
    biased=("query_key_value", "dense", *NEOX_MLP),
    tied=True,
    **PLAIN,
)

# Models whose published recipes adapt the attention alone, and what `lora.targets: auto` therefore takes; `all`
# takes every linear layer of these too. The seed's `query_key_value` of ChatGLM; peft's own mapping for GPT-2.
ATTENTION_ONLY = {"chatglm": ("query_key_value",), "gpt2": ("c_attn",)}

# What the same thing is called, in the order in which it is looked for.
KEYS: Dict[str, Tuple[str, ...]] = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads", "multi_query_group_num"),
    "head_dim": ("head_dim", "kv_channels"),
    "intermediate": ("intermediate_size", "n_inner", "ffn_hidden_size", "inner_hidden_size", "ffn_dim"),
    "vocabulary": ("vocab_size", "padded_vocab_size"),
    "activation": ("hidden_act", "hidden_activation", "activation_function"),
    "experts": ("num_local_experts", "num_experts"),
    "experts_per_token": ("num_experts_per_tok",),
}
