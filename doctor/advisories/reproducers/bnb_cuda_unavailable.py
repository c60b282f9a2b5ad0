"""transformers is asked for an 8-bit base on a machine without a GPU, with accelerate and bitsandbytes installed."""

from _tiny_llama import save_tiny_llama
from _verdict import raises
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

folder = save_tiny_llama()
raises(
    lambda: (
        type(
            AutoModelForCausalLM.from_pretrained(
                folder, quantization_config=BitsAndBytesConfig(load_in_8bit=True)
            )
        ).__name__
    ),
    r"8-bit quantization requires|No GPU found|None of the available devices",
)
