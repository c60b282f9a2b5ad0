"""merge_and_unload of an adapter over a base that says it is quantised by GPTQ."""

from _small import lora
from _verdict import raises


def merge():
    model = lora()
    model.base_model.model.quantization_method = "gptq"
    return type(model.merge_and_unload()).__name__


raises(merge, "Cannot merge LORA layers when the model is gptq quantized")
