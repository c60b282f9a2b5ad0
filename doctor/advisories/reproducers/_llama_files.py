"""LLaMA tokenizer folders as different conversions left them, around a sentencepiece model made on the spot."""

import json
from pathlib import Path
from typing import Any, Dict

import _borrowed  # noqa: F401
import _tiny  # of doctor/probes

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
NOW = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": -1}
THEN = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": -1}


def folder(tokenizer: Dict[str, Any], special: Dict[str, str], ids: Dict[str, int]) -> str:
    """`llama`, with tokenizer.model and these three files; made anew or changed where it is there."""
    path = Path("llama")
    path.mkdir(exist_ok=True)
    if not (path / "tokenizer.model").exists():
        Path(_tiny.sentencepiece_model("spm")).rename(path / "tokenizer.model")
    config = dict(ids, model_type="llama", architectures=["LlamaForCausalLM"])
    for name, content in (
        ("tokenizer_config.json", tokenizer),
        ("special_tokens_map.json", special),
        ("config.json", config),
    ):
        (path / name).write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def good(**more: Any) -> str:
    """As transformers has converted since 4.28."""
    return folder(dict(SPECIAL, tokenizer_class="LlamaTokenizer", **more), SPECIAL, NOW)


def old() -> str:
    """As conversions before 4.28 left it: empty special tokens, LLaMATokenizer, 0 and 1 in config.json."""
    empty = dict.fromkeys(SPECIAL, "")
    return folder(dict(empty, tokenizer_class="LLaMATokenizer"), {}, THEN)
