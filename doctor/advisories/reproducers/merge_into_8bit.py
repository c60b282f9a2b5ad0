"""merge_and_unload of an adapter over a base that says it is loaded in 8 bits."""

from _small import lora
from _verdict import raises


def merge():
    model = lora()
    model.base_model.model.is_loaded_in_8bit = True
    return type(model.merge_and_unload()).__name__


raises(merge, "Cannot merge LORA layers when the model is loaded in 8-bit mode")
