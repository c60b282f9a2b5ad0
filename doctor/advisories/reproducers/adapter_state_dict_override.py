"""2a: alpaca-lora's finetune.py replaces state_dict by the adapter's own, which save_pretrained filters again.

Without the override the same run must save what it trained.
"""

from pathlib import Path

import _borrowed
from _adapter import adapter_file, fresh, is_trained, tensors, train
from _verdict import finish
from peft import get_peft_model_state_dict


def saved(override: bool) -> int:
    """How many tensors are in the file whose adapter gives the trained logits; 0 where it does not."""
    model, folder = fresh(), Path("override" if override else "plain")
    whole = model.state_dict
    if override:
        model.state_dict = (lambda self, *_, **__: get_peft_model_state_dict(self, whole())).__get__(model)
    trained = train(model)
    model.save_pretrained(str(folder))
    return len(tensors(adapter_file(folder))) if is_trained(folder, trained) else 0


_borrowed.cured(lambda: saved(override=False), 8)
count = saved(override=True)
finish(count != 8, f"{count} of 8 tensors were saved and loaded again")
