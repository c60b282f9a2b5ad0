"""from_pretrained with load_in_8bit and a quantization_config at once."""

from _small import llama
from _verdict import raises


def load():
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    llama().save_pretrained("model")
    config = BitsAndBytesConfig(load_in_8bit=True)
    return AutoModelForCausalLM.from_pretrained("model", load_in_8bit=True, quantization_config=config)


raises(load, "You can't pass `load_in_4bit`or `load_in_8bit`")
