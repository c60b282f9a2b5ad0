"""The JSON files of a LLaMA's folder: a good one, and one as decapoda-style conversions left it (alpaca-lora#279)."""

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
GOOD = {
    "tokenizer_config.json": {**SPECIAL, "tokenizer_class": "LlamaTokenizer", "add_bos_token": True},
    "special_tokens_map.json": SPECIAL,
    "config.json": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "vocab_size": 400,
    },
}
OLD = {
    "tokenizer_config.json": {
        **dict.fromkeys(SPECIAL, ""),
        "tokenizer_class": "LLaMATokenizer",
        "model_max_length": 2048,
    },
    "special_tokens_map.json": {},
    "config.json": {
        "architectures": ["LLaMAForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": -1,
        "vocab_size": 400,
    },
    "generation_config.json": {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0},
}
