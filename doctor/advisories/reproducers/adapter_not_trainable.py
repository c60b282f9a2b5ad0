"""2e: how many tensors train after PeftModel.from_pretrained? With is_trainable=True all 8 must."""

import _borrowed
import _tiny
from _adapter import fresh, train
from _verdict import finish
from peft import PeftModel


def trainable(**options) -> int:
    model = PeftModel.from_pretrained(_tiny.llama(), "out", **options)
    return sum(1 for p in model.parameters() if p.requires_grad)


model = fresh()
train(model)
model.save_pretrained("out")
count = trainable()
if count == 0:
    _borrowed.cured(lambda: trainable(is_trainable=True), 8)
finish(count == 0, f"{count} of 8 tensors train after from_pretrained")
