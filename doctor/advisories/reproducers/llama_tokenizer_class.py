"""1a': AutoTokenizer does not find LLaMATokenizer; with the class spelled right the same folder loads."""

import _borrowed
from _llama_files import good, old
from _verdict import raises
from transformers import AutoTokenizer

_borrowed.cured(lambda: AutoTokenizer.from_pretrained(good(), use_fast=False).eos_token_id, 2)
raises(
    lambda: AutoTokenizer.from_pretrained(old(), use_fast=False),
    "LLaMATokenizer does not exist or is not currently imported|RecursionError",
)
