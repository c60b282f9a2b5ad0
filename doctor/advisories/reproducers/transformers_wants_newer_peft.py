"""Loading an adapter through transformers itself: it asks for a minimum of peft."""

from _small import llama, lora
from _verdict import raises


def load():
    lora().save_pretrained("adapter")
    llama().load_adapter("adapter")
    return "loaded"


raises(load, r"version of PEFT you are using is not compatible|No module named .peft\.")
