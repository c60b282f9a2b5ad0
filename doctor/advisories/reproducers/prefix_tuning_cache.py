"""Prefix tuning: peft fills transformers' cache, whose insides have changed."""

from _small import llama
from _verdict import raises


def forward():
    import torch
    from peft import PrefixTuningConfig, get_peft_model

    model = get_peft_model(llama(), PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"))
    tokens = torch.arange(1, 9).reshape(1, 8)
    model(input_ids=tokens, labels=tokens).loss.backward()
    return "a loss"


raises(forward, r"key_cache|max\(\) |DynamicCache|has no attribute|not subscriptable")
