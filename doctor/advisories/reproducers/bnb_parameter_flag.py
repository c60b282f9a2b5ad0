"""Int8Params with the keyword that transformers 5 and accelerate pass on."""

from _verdict import raises


def make():
    import torch
    from bitsandbytes.nn import Int8Params

    return type(
        Int8Params(torch.zeros(2, 2, dtype=torch.int8), requires_grad=False, _is_hf_initialized=True)
    ).__name__


raises(make, "unexpected keyword argument '_is_hf_initialized'")
