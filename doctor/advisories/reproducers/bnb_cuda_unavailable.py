"""transformers is asked for an 8-bit base on a machine without a GPU, with accelerate and bitsandbytes installed."""

import re

from _tiny_llama import save_tiny_llama
from _verdict import raises
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

folder = save_tiny_llama()


def load() -> str:
    """The class of what was loaded; addresses in an error are left out."""
    config = BitsAndBytesConfig(load_in_8bit=True)
    try:
        return type(AutoModelForCausalLM.from_pretrained(folder, quantization_config=config)).__name__
    except (ImportError, RuntimeError) as error:
        raise type(error)(re.sub(r"https?://\S+", "ADDRESS", str(error))) from error


raises(
    load,
    r"8-bit quantization requires|No GPU found|CUDA is required but not available|None of the available devices",
)
