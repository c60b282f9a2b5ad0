"""LoRA on module names that the model does not have; with the model's own names it is well."""

from _small import lora
from _verdict import raises

assert lora(target_modules=["q_proj"]) is not None
raises(lambda: lora(target_modules=["query", "value"]), r"[Tt]arget modules .* not found in the base model")
