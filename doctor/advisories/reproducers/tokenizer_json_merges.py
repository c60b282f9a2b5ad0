"""A tokenizer.json as tokenizers 0.20 and later write it: merges are pairs, no longer one text each."""

import json

from _verdict import raises

FILE = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {"a": 0, "b": 1, "ab": 2},
        "merges": [["a", "b"]],
    },
}


def load():
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(FILE, indent=1)).encode("ab").ids


raises(load, "did not match any variant of untagged enum")
