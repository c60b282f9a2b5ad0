"""1e: a folder that is silent about add_bos_token: is <s> put first? With add_bos_token=True it must be."""

import _borrowed
from _llama_files import good
from _verdict import finish
from transformers import LlamaTokenizer

_borrowed.cured(
    lambda: LlamaTokenizer.from_pretrained(good(add_bos_token=True))("hello world")["input_ids"][0], 1
)
ids = LlamaTokenizer.from_pretrained(good())("hello world")["input_ids"]
finish(ids[0] != 1, f"hello world -> {ids}; <s> is 1")
