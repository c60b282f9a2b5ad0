"""1d: converting tokenizer.model to a fast tokenizer imports code that was generated for protobuf 3."""

import _borrowed  # noqa: F401
from _llama_files import good
from _verdict import raises
from transformers import LlamaTokenizerFast

raises(
    lambda: len(LlamaTokenizerFast.from_pretrained(good())), "Descriptors cannot (not )?be created directly"
)
