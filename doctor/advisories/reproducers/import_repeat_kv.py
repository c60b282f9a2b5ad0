"""repeat_kv of the LLaMA file, which trainers of late 2023 import."""

from _verdict import raises


def imported():
    from transformers.models.llama.modeling_llama import repeat_kv

    return repeat_kv.__name__


raises(imported, "cannot import name 'repeat_kv'")
