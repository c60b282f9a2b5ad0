"""A Llama of one layer with random weights, saved in the working folder."""

from transformers import LlamaConfig, LlamaForCausalLM


def save_tiny_llama(folder: str = "model") -> str:
    """Write it and return the folder."""
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=100,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
