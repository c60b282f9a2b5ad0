"""gradient_checkpointing_enable() before get_peft_model: does the loss have a gradient?

With enable_input_require_grads() as well it must.
"""

import _borrowed
import _tiny
from _verdict import raises


def train(remedy: bool) -> str:
    base = _tiny.llama()
    base.gradient_checkpointing_enable()
    if remedy:
        base.enable_input_require_grads()
    model = _tiny.lora(base, ["q_proj"]).train()
    model(input_ids=_tiny.tokens(), labels=_tiny.tokens()).loss.backward()
    return "trained"


_borrowed.cured(lambda: train(remedy=True), "trained")
raises(lambda: train(remedy=False), "does not require grad and does not have a grad_fn")
