"""The automatic plan: the fastest way to take a run's updates that fits into the GPU's memory, and why no faster one.

Pure: a shape, the free bytes and what is asked, in; the choice, out. An update is the same rows on every GPU; how many
of them go through in one pass, what is computed again and how the base is held are chosen.
"""

from dataclasses import dataclass, replace
from typing import Any, List, Literal, Sequence, Tuple, Union

from envdoc.train.estimate import speed
from envdoc.train.estimate.memory import Checkpointing, Pass, peak_bytes
from envdoc.train.estimate.passes import padded
from envdoc.train.fast import lines

# With `batch: auto` an update holds as many tokens as 16 packs of the default length: as many units as the defaults'
# 4 x 4, whatever the GPU. Fewer where the data is small, so that an epoch has some tens of updates to learn by.
UPDATE_TOKENS = 16 * 1024
LEAST_UPDATES = 32
# Kept free: what the closed form may be off by, and what torch's allocator cannot use of rows of many lengths.
MARGIN = 0.08
RESERVE_BYTES = 400 * 2**20
SHOWN_REASONS = 3
# A GPU's peak by which ways are compared where none is known: an A100's. By it an H200 with 22 GiB free was given
# passes of 1,024 tokens, for which its host was too slow: 7,005 tokens/s, where passes of 8,192 and more that compute
# layers again reached 15,900 (2026-11-30).
ORDER_BY = 300e12
KINDS: Tuple[Checkpointing, ...] = (False, "selective", True, "offload")
WORDS = {False: "nothing computed again", "selective": "checkpointing selective", True: "checkpointing full"}
WORDS["offload"] = "checkpointing offload"


@dataclass(frozen=True)
class Open:
    """What the run file leaves to the plan; `one` holds what it does not, and the tokens of its largest pass."""

    one: Pass
    row_tokens: float  # as speed.py wants it
    batches: Tuple[int, ...] = ()  # packs of a pass to choose from, of `pack_tokens` each; empty: not open
    pack_tokens: int = 0
    checkpointing: bool = False
    quantization: bool = False
    replays: bool = False  # the host never holds up passes of which nothing is computed again (recorded.py)
    step: int = lines.STEP  # tokens of whose multiples such a pass is filled up


@dataclass(frozen=True)
class Choice:
    """One way, and what it takes."""

    quantization: Literal["none", "8bit", "4bit"]
    checkpointing: Checkpointing
    batch: int  # packs of a pass; 0 where that was not open
    tokens: int
    peak_bytes: int
    relative_seconds: float  # of a token: only to be compared

    def words(self, asked: Open) -> str:
        """The way in words: only what was open."""
        parts = []
        if asked.batches:
            parts.append(f"{self.batch} pack{'' if self.batch == 1 else 's'} a pass ({self.tokens:,} tokens)")
        if asked.checkpointing:
            parts.append(WORDS[self.checkpointing])
        if asked.quantization:
            parts.append(
                "the base as it is" if self.quantization == "none" else f"the base in {self.quantization}"
            )
        return ", ".join(parts)


@dataclass(frozen=True)
class Chosen:
    """The choice, and sentences on it."""

    choice: Choice
    fits: bool
    reasons: Tuple[str, ...]


def choose(shape: Any, free_bytes: int, asked: Open, flops_per_second: float = ORDER_BY) -> Chosen:
    """The fastest way whose peak fits into `free_bytes` with a margin; where none does, the one that takes least.

    A base as it is comes before a quantised one, whichever is faster: what 4 bits round off is in the adapter's way.
    """
    ways = sorted(
        _ways(shape, asked, flops_per_second), key=lambda way: (way.relative_seconds, way.peak_bytes)
    )
    fitting = [way for way in ways if needs(way.peak_bytes) <= free_bytes]
    if not fitting:
        least = min(ways, key=lambda way: (way.peak_bytes, way.relative_seconds))
        return Chosen(least, False, (
            f"Plan: {least.words(asked)}: {gib(least.peak_bytes)}, with a margin {gib(needs(least.peak_bytes))}, of "
            f"{gib(free_bytes)} free: it may not fit, and nothing that may be chosen takes less.",
        ))  # fmt: skip
    best = min(
        fitting, key=lambda way: way.quantization != "none"
    )  # the first of these, which is the fastest
    told = [f"Plan: {best.words(asked)}: {gib(best.peak_bytes)} of {gib(free_bytes)} free."]
    whole = [way for way in ways if way.quantization == "none"]
    if asked.quantization and best.quantization != "none":
        least = min(whole, key=lambda way: way.peak_bytes)
        told.append(
            f"The base as it is would need {gib(needs(least.peak_bytes))}, with a margin, at the least."
        )
    for way in _next_faster([way for way in ways if way.quantization == best.quantization], best):
        told.append(
            f"Faster, and too large: {way.words(asked)}; it needs {gib(needs(way.peak_bytes))} with a margin."
        )
    return Chosen(best, True, tuple(told))


def needs(peak: int) -> int:
    """The free bytes that a peak in closed form asks for."""
    return int(peak * (1 + MARGIN)) + RESERVE_BYTES


def packs_of_update(packs: int, max_length: int) -> int:
    """How many packs an update holds, from the data alone: 1, 2, 3, 4, 6, 8, 12, 16, ..., which cut into many passes.

    Of 13 there is nothing between one pack a pass and all of them.
    """
    most = max(1, min(UPDATE_TOKENS // max_length, packs // LEAST_UPDATES))
    return max(
        times * 2**power for times in (1, 3) for power in range(most.bit_length()) if times * 2**power <= most
    )


def batches_of(packs: int, processes: int = 1) -> Tuple[int, ...]:
    """The packs of a pass that cut an update into equal passes, as many for each process."""
    return tuple(
        batch for batch in range(1, packs + 1) if packs % batch == 0 and (packs // batch) % processes == 0
    ) or (1,)


def gib(count: Union[int, float]) -> str:
    """Bytes as people say them."""
    return f"{count / 2**30:.1f} GiB"


def _ways(shape: Any, asked: Open, flops_per_second: float) -> List[Choice]:
    kinds: Sequence[Checkpointing] = KINDS if asked.checkpointing else (asked.one.checkpointing,)
    if asked.checkpointing and asked.one.quantization == "8bit":
        kinds = (False, True)  # fast/checkpointing.py has no other form for it
    bases: Sequence[Any] = ("none", "4bit") if asked.quantization else (asked.one.quantization,)
    found = []
    for base in bases:
        for kind in kinds:
            for batch in asked.batches or (0,):
                tokens = batch * asked.pack_tokens or asked.one.tokens
                learnt = max(1, round(asked.one.learnt * tokens / asked.one.tokens))
                replays = asked.replays and kind is False and base != "8bit"
                laid = padded(tokens, asked.step) if replays else tokens
                one = replace(
                    asked.one,
                    quantization=base,
                    checkpointing=kind,
                    tokens=laid,
                    learnt=learnt,
                    recorded=replays,
                )
                seconds = speed.seconds_per_token(shape, one, asked.row_tokens, flops_per_second)
                peak = peak_bytes(shape, one).total
                found.append(Choice(base, kind, batch, tokens, peak, seconds * laid / tokens))
    return found


def _next_faster(ways: Sequence[Choice], best: Choice) -> List[Choice]:
    """Of the faster ways the one that takes least memory for each kind of choice, nearest first."""
    faster = [way for way in ways if way.relative_seconds < best.relative_seconds]
    least: List[Choice] = []
    for way in sorted(faster, key=lambda way: way.peak_bytes):
        if all(
            (way.quantization, way.checkpointing) != (seen.quantization, seen.checkpointing) for seen in least
        ):
            least.append(way)
    return least[:SHOWN_REASONS]
