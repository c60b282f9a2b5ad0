"""1c: is a literal </s> in the text one token for the fast tokenizer that is converted from tokenizer.model?"""

import _borrowed  # noqa: F401
from _llama_files import good
from _verdict import finish
from transformers import LlamaTokenizerFast

tokenizer = LlamaTokenizerFast.from_pretrained(good())
ids = tokenizer("hello world</s>", add_special_tokens=False)["input_ids"]
finish(ids[-1] != 2, f"hello world</s> -> {tokenizer.convert_ids_to_tokens(ids)}")
