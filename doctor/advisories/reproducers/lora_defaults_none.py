"""Does a LoraConfig without lora_alpha and lora_dropout make an adapter?"""

import _borrowed  # noqa: F401
from _tiny import llama
from _verdict import raises
from peft import LoraConfig, get_peft_model


def adapted() -> str:
    """The kind of model that comes out."""
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return type(get_peft_model(llama(), config)).__name__


raises(adapted, r"TypeError: .{0,80}NoneType")
