"""Trainer(tokenizer=...), which is processing_class now."""

from _small import lora, trainer
from _verdict import raises

raises(
    lambda: trainer(lora(), more={"tokenizer": None}).train().global_step,
    "unexpected keyword argument 'tokenizer'",
)
