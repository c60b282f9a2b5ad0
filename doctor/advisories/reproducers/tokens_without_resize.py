"""A token is added to the tokenizer and not to the embedding; after resize_token_embeddings the forward pass runs."""

import _borrowed
import _tiny
import torch
from _verdict import raises

model = _tiny.llama()
added = torch.tensor([[1, 2, _tiny.VOCABULARY]])  # the id that the first added token gets


def forward() -> str:
    model(input_ids=added)
    return "ran"


raised = None
try:
    forward()
except IndexError as error:
    raised = error
model.resize_token_embeddings(_tiny.VOCABULARY + 1)
_borrowed.cured(forward, "ran")


def again() -> None:
    if raised is not None:
        raise raised


raises(again, "index out of range in self")
