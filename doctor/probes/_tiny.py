"""Tiny random models and a tiny LLaMA tokenizer, made on the spot: nothing is downloaded.

Sizes are the smallest at which the named issues show: the width 48 divides by three (peft 0.2.0 refuses others),
the vocabulary of 400 pieces holds the 256 byte pieces that LLaMA's tokenizer falls back to.
"""

# mypy: disable-error-code="import-not-found"

import random
from typing import Any, List

VOCABULARY = 128
WIDTH = 48
WORDS = (
    "hello",
    "world",
    "the",
    "model",
    "learns",
    "tokens",
    "and",
    "stops",
    "at",
    "the",
    "end",
    "of",
    "sentence",
)


def _seed() -> None:
    """The same weights on every call; one thread, since several wait longer for each other than such models compute."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)


def llama(width: int = WIDTH) -> Any:
    """A LlamaForCausalLM of 2 layers; the same weights on every call."""
    from transformers import LlamaConfig, LlamaForCausalLM

    _seed()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config)


def gpt2() -> Any:
    """A GPT2LMHeadModel of 2 layers, whose projections are Conv1D (weights transposed); always the same."""
    from transformers import GPT2Config, GPT2LMHeadModel

    _seed()
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=WIDTH,
        n_layer=2,
        n_head=4,
        n_positions=64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    return GPT2LMHeadModel(config)


def neox() -> Any:
    """A GPTNeoXForCausalLM of 2 layers, whose query, key and value are one Linear, as in ChatGLM and BLOOM."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    _seed()
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=64,
    )
    return GPTNeoXForCausalLM(config)


def tokens() -> Any:
    """One sentence of 16 token ids, shape (1, 16)."""
    import torch

    return torch.arange(1, 17).reshape(1, 16)


def lora(model: Any, targets: List[str], **options: Any) -> Any:
    """The model with a LoRA adapter of rank 4 on `targets`. All arguments given: peft 0.3.0 has None defaults."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=targets,
        **options,
    )
    return get_peft_model(model, config)


def logits(model: Any) -> Any:
    """The model's logits for `tokens()` in evaluation mode, shape (1, 16, VOCABULARY)."""
    import torch

    model.eval()
    with torch.no_grad():
        return model(input_ids=tokens().to(next(model.parameters()).device)).logits.detach().clone()


def sentencepiece_model(prefix: str) -> str:
    """Train a LLaMA-shaped model (unk 0, bos 1, eos 2, no pad, byte fallback) and return its path, PREFIX.model."""
    import sentencepiece

    choose = random.Random(0).choice
    with open(prefix + ".corpus", "w", encoding="utf-8") as file:  # noqa: PTH123
        for _ in range(400):
            file.write(" ".join(choose(WORDS) for _ in range(8)) + ".\n")
    sentencepiece.SentencePieceTrainer.train(
        input=prefix + ".corpus",
        model_prefix=prefix,
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return prefix + ".model"
