"""Run in the patient: what LlamaTokenizer, AutoTokenizer and AutoConfig read in a folder, as JSON on the last line."""

import json
import sys

from transformers import AutoConfig, AutoTokenizer, LlamaTokenizer

FOLDER = sys.argv[1]


def read(kind, **options):
    """The ids of bos, eos and unk, the first id of a text, and the config's; or the error."""
    try:
        tokenizer = kind.from_pretrained(FOLDER, **options)
        config = AutoConfig.from_pretrained(FOLDER)
        return {
            "ids": [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id],
            "first": tokenizer("hello world")["input_ids"][0],
            "config": [config.bos_token_id, config.eos_token_id],
        }
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}


print(json.dumps({"slow": read(LlamaTokenizer), "auto": read(AutoTokenizer, use_fast=False)}))
