"""How the rows of a run fall into passes, from their lengths alone: the largest pass, and how much is padding."""

import random
from dataclasses import dataclass
from typing import List, Sequence

from envdoc.train.config import Run
from envdoc.train.fast import lines
from envdoc.train.packing import deal, pack

PAD_TO = 8  # batches.py
LOOKED_AT = 400  # updates: enough for a mean within one per cent, and a second of work


@dataclass(frozen=True)
class Passes:
    """One epoch. Tokens with padding are what is computed; those without are what is learnt from."""

    largest_tokens: int  # of one pass, padding included
    longest_row: int
    row_tokens: float  # the row in which a token stands, on average over tokens
    tokens: int  # of an epoch, without padding
    computed_tokens: int  # of an epoch, with padding
    usual_tokens: float  # of a pass
    updates: int
    padded: bool  # whether rows are padded to one length

    @property
    def full(self) -> float:
        """The share of what is computed that is no padding."""
        return self.tokens / self.computed_tokens


def passes_of(lengths: Sequence[int], run: Run, packs_rows: bool) -> Passes:
    """`lengths` are those of the rows, in tokens; `packs_rows` says whether `data.packing: auto` packs."""
    train, limit = run.train, run.data.max_length
    rows, batch = [min(int(length), limit) for length in lengths], int(train.batch_size)
    tokens, longest = sum(rows), max(rows)
    per_update = batch * train.accumulation
    order = list(range(len(rows)))
    random.Random(train.seed).shuffle(order)
    replayed = train.cuda_graphs is True
    packed = run.data.packing is True or (run.data.packing == "auto" and packs_rows)
    if run.data.packing is True:
        packs = pack(rows, limit, order)
        units = len(packs)
        filled = [sum(rows[row] for row in each) for each in packs]
        largest, computed, count = batch * padded(max(filled)), tokens, -(-units // batch)
        if replayed:
            step = lines.step_of(True, limit)
            sizes = [sum(filled[start : start + batch]) for start in range(0, units, batch)]
            largest, computed = padded(largest, step), sum(padded(size, step) for size in sizes)
    elif packed:
        units = len(rows)
        looked = [order[start : start + per_update] for start in range(0, len(order), per_update)][:LOOKED_AT]
        sizes = [sum(rows[update[row]] for row in one) for update in looked
                 for one in deal([rows[row] for row in update], batch * limit)]  # fmt: skip
        largest, computed = padded(max(sizes)), tokens
        if replayed:
            step = lines.step_of(False, limit)
            largest = padded(largest, step)
            computed = round(tokens * sum(padded(size, step) for size in sizes) / sum(sizes))
        count = round(len(sizes) * tokens / sum(sizes))
    else:
        units = len(rows)
        if run.data.group_by_length:
            order.sort(key=lambda row: rows[row])
        sizes = [
            _padded_size([rows[row] for row in order[start : start + batch]])
            for start in range(0, units, batch)
        ]
        largest, computed, count = min(batch, units) * padded(longest), sum(sizes), len(sizes)
    return Passes(
        largest_tokens=largest,
        longest_row=longest,
        row_tokens=sum(row * row for row in rows) / tokens,
        tokens=tokens,
        computed_tokens=computed,
        usual_tokens=computed / count,
        updates=-(-units // per_update),
        padded=not packed,
    )


def padded(length: int, step: int = PAD_TO) -> int:
    """The length that the matrix units take, or another multiple."""
    return -(-length // step) * step


def _padded_size(rows: List[int]) -> int:
    return len(rows) * padded(max(rows))
