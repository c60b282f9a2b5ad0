"""A tokenizer without a pad token is asked to pad; with one it pads."""

import _borrowed
from _llama_files import good
from _verdict import raises
from transformers import LlamaTokenizer

tokenizer = LlamaTokenizer.from_pretrained(good())


def pad() -> str:
    tokenizer(["hello", "hello world the model"], padding=True)
    return "padded"


tokenizer.pad_token = "<unk>"
_borrowed.cured(pad, "padded")
tokenizer.pad_token = None
raises(pad, "does not have a padding token")
