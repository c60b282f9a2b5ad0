"""The work that every recipe does: rows by length and seed, and the rows that it is judged by.

The row lengths are those of the measurements of 2026-11-23: lognormal, median 180, from 32 to 1024 tokens, each token
drawn at random, that of rank k with a probability as 1/k, so that there is something to learn. A recipe takes the
first rows of one endless list, so that what two recipes read in common is the same.
"""

import math
from typing import List, Optional

import torch

JUDGED_ROWS = 16


def lengths(count: int) -> List[int]:
    """Tokens of each row."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.exp(math.log(180) + 0.6 * torch.randn(count, generator=generator))
    return drawn.clamp(32, 1024).long().tolist()


def rows(count: int, vocabulary: int, fixed: Optional[int] = None, shrink: int = 1) -> List[List[int]]:
    """Rows of random tokens; `fixed` gives all of them one length."""
    generator = torch.Generator().manual_seed(1)
    wanted = [fixed] * count if fixed else [max(4, length // shrink) for length in lengths(count)]
    return [_drawn(length, vocabulary, generator).tolist() for length in wanted]


def judged(model: "torch.nn.Module", vocabulary: int, shrink: int = 1, autocast: bool = True) -> float:
    """The mean loss, each row by itself, of rows that nobody trains on; without gradients, the model left as it was."""
    generator = torch.Generator().manual_seed(2)
    device = next(model.parameters()).device
    training, total, count = model.training, 0.0, 0
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        for length in lengths(JUDGED_ROWS):
            length = max(4, length // shrink)
            ids = _drawn(length, vocabulary, generator)[None].to(device)
            total += float(model(input_ids=ids, labels=ids).loss) * (length - 1)
            count += length - 1
    model.train(training)
    return total / count


def _drawn(length: int, vocabulary: int, generator: torch.Generator) -> torch.Tensor:
    """Ids from 3 (those before are special), the logarithm of their rank spread evenly."""
    ranks = (torch.rand(length, generator=generator) * math.log(vocabulary - 3)).exp().long()
    return ranks + 2
