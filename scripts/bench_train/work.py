"""The work that every recipe does: models by shape, rows by length and seed, and the rows it is judged by.

The row lengths are those of the measurements of 2026-11-23: lognormal, median 180, from 32 to 1024 tokens, each token
drawn at random. A recipe takes the first rows of one endless list, so that what two recipes read in common is the same.
"""

import math
from dataclasses import dataclass
from typing import List, Optional

import torch

JUDGED_ROWS = 16
MEAN_LENGTH = 210  # of these lengths, to know how many rows fill so many tokens
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
    "tiny": Shape(64, 128, 2, 4, 2, 2048),
}
SHRINK = 16  # what `tiny` divides row lengths and token budgets by


def lengths(count: int) -> List[int]:
    """Tokens of each row."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.exp(math.log(180) + 0.6 * torch.randn(count, generator=generator))
    return drawn.clamp(32, 1024).long().tolist()


def rows(count: int, vocabulary: int, fixed: Optional[int] = None, shrink: int = 1) -> List[List[int]]:
    """Rows of random tokens; `fixed` gives all of them one length."""
    generator = torch.Generator().manual_seed(1)
    wanted = [fixed] * count if fixed else [max(4, length // shrink) for length in lengths(count)]
    return [torch.randint(3, vocabulary, (length,), generator=generator).tolist() for length in wanted]


def rows_for(tokens: int, shrink: int = 1) -> int:
    """How many rows surely fill so many tokens."""
    return math.ceil(SPARE * tokens * shrink / MEAN_LENGTH)


def judged(model: "torch.nn.Module", vocabulary: int, shrink: int = 1) -> float:
    """The mean loss, each row by itself, of rows that nobody trains on; without gradients, the model left as it was."""
    generator = torch.Generator().manual_seed(2)
    device = next(model.parameters()).device
    training, total, count = model.training, 0.0, 0
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        for length in lengths(JUDGED_ROWS):
            length = max(4, length // shrink)
            ids = torch.randint(3, vocabulary, (1, length), generator=generator).to(device)
            total += float(model(input_ids=ids, labels=ids).loss) * (length - 1)
            count += length - 1
    model.train(training)
    return total / count
