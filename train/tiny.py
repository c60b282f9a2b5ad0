"""The tiny model: a small Llama with random weights and a byte-level tokenizer, made on the spot in about a second.

It proves the whole way from rows to a verified adapter on any machine without a download. It knows no language;
what its adapter learns is the letters and commonest words of the training rows.
"""

from pathlib import Path
from typing import Any, Iterable

from envdoc.train.errors import SaveError

VOCABULARY = 1024  # 256 bytes and the commonest pairs: English and Chinese both encode without unknown tokens
SPECIAL = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tiny(folder: Path, texts: Iterable[str], seed: int) -> None:
    """Write the model and the tokenizer, trained on `texts`, into `folder`. Raises SaveError."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(texts)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,  # grouped queries, as in current models
        max_position_embeddings=2048,
        # 0.02 leaves the frozen random head unable to give any token a probability above a few per cent
        initializer_range=0.1,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        LlamaForCausalLM(config).save_pretrained(str(folder), safe_serialization=True)
        tokenizer.save_pretrained(str(folder))
    except Exception as error:  # OSError, and safetensors' and tokenizers' own wrappings of it
        raise SaveError(f"The tiny model could not be written to `{folder}`: {error}.") from None


def one_thread() -> None:
    """The tiny model's matrices are so small that on a busy machine two threads, which wait for each other in a loop,
    were 15 times slower than one (2 cores, load 5, 2026-11-24)."""
    import torch

    torch.set_num_threads(1)


def _tokenizer(texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        list(texts),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
