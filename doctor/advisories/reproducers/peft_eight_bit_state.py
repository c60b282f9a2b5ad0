"""An adapter laid on a layer of LLM.int8()."""

from _verdict import raises


def lay():
    import torch
    from bitsandbytes.nn import Linear8bitLt
    from peft import LoraConfig, inject_adapter_in_model

    base = torch.nn.Sequential(Linear8bitLt(64, 64, bias=False, has_fp16_weights=False))
    base.is_loaded_in_8bit = True
    return type(inject_adapter_in_model(LoraConfig(target_modules=["0"]), base)[0]).__name__


raises(lay, "no attribute 'memory_efficient_backward'")
