"""1a': AutoTokenizer does not find LLaMATokenizer; with the class spelled right the same folder loads."""

import _borrowed
from _llama_files import good, old
from _verdict import finish, raises
from transformers import AutoTokenizer


def load() -> None:
    try:
        AutoTokenizer.from_pretrained(old(), use_fast=False)
    except RecursionError as error:  # transformers 5
        finish(True, f"loading these files ends in a RecursionError ({error})")


_borrowed.cured(lambda: AutoTokenizer.from_pretrained(good(), use_fast=False).eos_token_id, 2)
raises(load, "LLaMATokenizer does not exist or is not currently imported")
