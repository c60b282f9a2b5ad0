"""Where the rows of a flat line end, in the words that attention functions take. Nothing here asks the device."""

from typing import Any, Dict

ENDS, LONGEST = "cu_seqlens", "max_seqlen"  # batches.py's words
TILES = "row_tiles"  # batches.py's word too, and the model hands it on as it is
LENGTHS = "row_lengths"
SHORT = 1024  # tokens of the longest row of a line that is laid in tiles (tiles.py)
STEP = 512  # tokens of whose multiples a line that is recorded (graphs.py) is filled up, but for packs
ONE_LENGTH = "row_length"  # of every row, where all are equally long


def step_of(packs: bool, max_length: int) -> int:
    """A multiple of how many tokens a line is filled up to that is recorded: one of packs as if each was full.

    So a run of packs has one size of line, and is recorded once: another took 0.35 s of a 1.1B's run, ten of whose
    updates take that (H200, 2026-12-01).
    """
    return -(-max_length // STEP) * STEP if packs else STEP


def with_ends(batch: Dict[str, Any]) -> Dict[str, Any]:
    """Under transformers' names, which its own flash attention and linear attention (Qwen3-Next) read too."""
    line, ends, longest = _parted(batch)
    return {
        **line,
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
        **({ONE_LENGTH: longest} if bool((ends[1:] - ends[:-1] == longest).all()) else {}),
    }


def with_lengths(batch: Dict[str, Any]) -> Dict[str, Any]:
    """The rows' lengths as numbers, for whoever goes through them one by one."""
    line, ends, _ = _parted(batch)
    return {**line, LENGTHS: (ends[1:] - ends[:-1]).tolist()}


def _parted(batch: Dict[str, Any]) -> Any:
    line = {name: part for name, part in batch.items() if name not in (ENDS, LONGEST)}
    return line, batch[ENDS], batch[LONGEST]
