"""Two steps of the Trainer with a LoRA model: it calls accelerate, whose arguments have changed."""

from _small import lora, trainer
from _verdict import raises

raises(lambda: trainer(lora()).train().global_step, r"unexpected keyword argument|has no attribute")
