"""Prefix tuning of a tiny T5: peft fills transformers' encoder-decoder cache, whose insides have changed."""

from _verdict import raises


def forward():
    import torch
    from peft import PrefixTuningConfig, get_peft_model
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    prefix = PrefixTuningConfig(num_virtual_tokens=4, task_type="SEQ_2_SEQ_LM")
    model = get_peft_model(T5ForConditionalGeneration(config), prefix)
    tokens = torch.arange(1, 9).reshape(1, 8)
    model(input_ids=tokens, labels=tokens).loss.backward()
    return "a loss"


raises(forward, r"has no attribute '(?:key_cache|value_cache)'|max\(\) |not subscriptable")
