"""LlamaFlashAttention2, which models' own code imports from the LLaMA file."""

from _verdict import raises


def imported():
    from transformers.models.llama.modeling_llama import LlamaFlashAttention2

    return LlamaFlashAttention2.__name__


raises(imported, "cannot import name 'LlamaFlashAttention2'")
