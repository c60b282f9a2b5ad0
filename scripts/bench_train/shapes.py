"""The models that are trained, by shape, and how many rows fill an update. Needs no library."""

import math
from dataclasses import dataclass
from typing import Optional

MEAN_LENGTH = 210  # tokens of a row (work.py)
SPARE = 1.3  # rows beyond what the updates need: packing leaves some for the end of an epoch that is never reached


@dataclass(frozen=True)
class Shape:
    """A Llama."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int
    positions: int = 4096
    theta: float = 10000.0

    @property
    def weights(self) -> int:
        """Weights that each token is multiplied with: the linear layers and the head, not the embeddings."""
        attention = self.hidden * self.hidden * (2 + 2 * self.key_value_heads / self.heads)
        return int(self.layers * (attention + 3 * self.hidden * self.inner) + self.hidden * self.vocabulary)

    def config(self) -> "object":
        """The transformers configuration."""
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_value_heads,
            max_position_embeddings=self.positions,
            rope_theta=self.theta,
            tie_word_embeddings=False,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
            architectures=["LlamaForCausalLM"],
        )


SHAPES = {
    "7b": Shape(4096, 11008, 32, 32, 32, 32000),  # Llama-2-7B
    "8b": Shape(4096, 14336, 32, 32, 8, 128256, 8192, 500000.0),  # Llama-3-8B
    "70b": Shape(8192, 28672, 80, 64, 8, 32000),  # Llama-2-70B
    "1b": Shape(2048, 5632, 22, 32, 4, 32000),  # TinyLlama-1.1B
    "tiny": Shape(64, 128, 2, 4, 2, 2048),
}
SHRINK = 16  # what `tiny` divides row lengths and token budgets by


def rows_for(tokens: int, fixed: Optional[int] = None, shrink: int = 1) -> int:
    """How many rows surely hold so many tokens."""
    return math.ceil(SPARE * tokens / (fixed or MEAN_LENGTH / shrink))
