"""A LoRA where an old torchao lies about: peft asks for its version although nothing uses it."""

from _small import lora
from _verdict import raises

raises(lambda: type(lora()).__name__, "Found an incompatible version of torchao")
