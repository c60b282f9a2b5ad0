"""A label that is no class of the head; with a label within num_labels the loss is made."""

import _borrowed
import _tiny
import torch
from _verdict import raises
from transformers import LlamaForSequenceClassification

config = _tiny.llama().config
config.num_labels, config.pad_token_id = 2, 0
model = LlamaForSequenceClassification(config)


def loss(label: int) -> str:
    model(input_ids=_tiny.tokens(), labels=torch.tensor([label])).loss.backward()
    return "ran"


_borrowed.cured(lambda: loss(1), "ran")
raises(lambda: loss(2), "out of bounds")
