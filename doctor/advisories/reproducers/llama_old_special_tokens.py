"""1a: an old conversion's empty special tokens make bos = eos = unk = 0; the repaired files make 1, 2 and 0."""

import _borrowed
from _llama_files import good, old
from _verdict import finish

try:
    from transformers import LlamaTokenizer
except ImportError as error:  # the slow class
    raise SystemExit(f"no LlamaTokenizer: {error}") from error


def ids(folder):
    tokenizer = LlamaTokenizer.from_pretrained(folder)
    return tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id


_borrowed.cured(lambda: ids(good()), (1, 2, 0))
try:
    found = ids(old())
except RecursionError as error:  # transformers 5
    finish(True, f"loading these files ends in a RecursionError ({error})")
finish(found != (1, 2, 0), f"bos, eos, unk = {found}; after the repair of the files (1, 2, 0)")
