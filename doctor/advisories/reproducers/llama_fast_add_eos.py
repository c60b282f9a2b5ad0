"""1b: does the fast tokenizer obey add_eos_token=True?"""

import _borrowed  # noqa: F401
from _llama_files import good
from _verdict import finish
from transformers import LlamaTokenizerFast

ids = LlamaTokenizerFast.from_pretrained(good(), add_bos_token=True, add_eos_token=True)("hello world")[
    "input_ids"
]
finish(ids[-1] != 2, f"add_eos_token=True gives {ids}; </s> is 2")
