"""Do the slow and the fast LLaMA tokenizer put the special tokens where they belong?

`good` is a checkpoint as transformers has converted it since 4.28; whatever is wrong with it is the library's fault.
`old` is one as decapoda-style conversions left it (special tokens are empty strings, the class is spelled
LLaMATokenizer); what is wrong with that is in its files, whatever the library (tloen/alpaca-lora#279).
"""

# mypy: disable-error-code="import-not-found"

import json
import shutil
from pathlib import Path
from typing import Any, Dict

import _tiny
from _probe import FOLDER, at, attempt, finish, require, versions

require("sentencepiece", "transformers", "tokenizers")
at("training a sentencepiece model")
MODEL = _tiny.sentencepiece_model(str(Path(FOLDER, "llama")))
at("importing transformers")
from transformers import AutoTokenizer, LlamaTokenizer, LlamaTokenizerFast  # noqa: E402

TEXT = "hello world"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
EMPTY = dict.fromkeys(SPECIAL, "")


def checkpoint(
    name: str, tokenizer_config: Dict[str, Any], special_tokens_map: Dict[str, str], ids: Dict[str, int]
) -> str:
    """A model folder with nothing but what a tokenizer reads."""
    folder = Path(FOLDER, name)
    folder.mkdir()
    shutil.copy(MODEL, str(folder / "tokenizer.model"))
    files = {
        "tokenizer_config.json": tokenizer_config,
        "special_tokens_map.json": special_tokens_map,
        "config.json": dict(ids, model_type="llama", architectures=["LlamaForCausalLM"]),
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return str(folder)


GOOD = checkpoint(
    "good",
    dict(SPECIAL, tokenizer_class="LlamaTokenizer", model_max_length=2048),
    SPECIAL,
    {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": -1},
)
OLD = checkpoint(
    "old",
    dict(EMPTY, tokenizer_class="LLaMATokenizer", model_max_length=2048),
    {},
    {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": -1},
)


def special_ids(tokenizer: Any) -> Dict[str, Any]:
    """The ids of bos, eos and unk; 1, 2 and 0 in LLaMA."""
    return {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "unk": tokenizer.unk_token_id}


def encodings(tokenizer: Any) -> Dict[str, Any]:
    """What a training script relies on."""
    return {
        "ids": special_ids(tokenizer),
        "with_eos": tokenizer(TEXT)["input_ids"],
        "literal_eos": tokenizer(TEXT + "</s>", add_special_tokens=False)["input_ids"],
    }


def slow() -> Dict[str, Any]:
    return encodings(LlamaTokenizer.from_pretrained(GOOD, add_bos_token=True, add_eos_token=True))


def fast() -> Dict[str, Any]:
    return encodings(LlamaTokenizerFast.from_pretrained(GOOD, add_bos_token=True, add_eos_token=True))


def fast_reload() -> Dict[str, Any]:
    """The fast tokenizer, saved and loaded again by AutoTokenizer: the same ids?"""
    tokenizer = LlamaTokenizerFast.from_pretrained(GOOD, add_bos_token=True, add_eos_token=True)
    folder = str(Path(FOLDER, "saved"))
    tokenizer.save_pretrained(folder)
    return {
        "before": tokenizer(TEXT)["input_ids"],
        "after": AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"],
    }


def defaults() -> Dict[str, Any]:
    """A folder that is silent about add_bos_token: transformers 4 adds <s>, 5.17 and 5.23 do not."""
    return {"encoded": LlamaTokenizer.from_pretrained(GOOD)(TEXT)["input_ids"]}


def old_slow() -> Dict[str, Any]:
    return {"ids": special_ids(LlamaTokenizer.from_pretrained(OLD))}


def old_auto() -> Dict[str, Any]:
    return {"ids": special_ids(AutoTokenizer.from_pretrained(OLD))}


CASES = (slow, fast, fast_reload, defaults)
DATA_CASES = (old_slow, old_auto)
finish(
    {
        "versions": versions("transformers", "tokenizers", "sentencepiece", "protobuf"),
        "cases": {case.__name__: attempt(case) for case in CASES},
        "data_cases": {case.__name__: attempt(case) for case in DATA_CASES},
    }
)
