"""A folder that `save_to_disk` of `datasets` wrote, read by `load_from_disk`: the seed's own way."""

from pathlib import Path
from typing import Any, Iterator, Optional

from envdoc.train.errors import DataError
from envdoc.train.readers import COLUMNS, RawRow

BATCH_ROWS = 1000
DEFAULT_SPLIT = "train"


def read(path: Path, split: Optional[str]) -> Iterator[RawRow]:
    """Rows by their place from 1, out of the memory-mapped files. Raises DataError."""
    table = _table(path, split)
    names = table.column_names
    wanted = [name for name in names if name in COLUMNS] or names
    # As Arrow: whatever format was saved with the set (torch, often) is passed over, and no image is decoded.
    rows = table.with_format("arrow", columns=wanted)
    for start in range(0, len(rows), BATCH_ROWS):
        yield from enumerate(rows[start : start + BATCH_ROWS].to_pylist(), start + 1)


def _table(path: Path, split: Optional[str]) -> Any:
    try:
        from datasets import Dataset, __version__, load_from_disk
    except ImportError:
        raise DataError(
            f"`{path}` is a folder of `save_to_disk`, and this interpreter has no `datasets` to read it.",
            "Install `datasets`, or save the rows as .jsonl (`Dataset.to_json`).",
        ) from None
    try:
        loaded = load_from_disk(str(path))
    except (
        Exception
    ) as error:  # FileNotFoundError, ArrowInvalid, KeyError, and what else a damaged folder raises
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"`{path}` cannot be read by `datasets.load_from_disk`: {reason}.",
            # 3.1 says "must be called with a dataclass type or instance" of a list column that 5.2 wrote
            f"This is datasets {__version__}; what a newer one wrote it may not know: save the rows as .jsonl there.",
        ) from None
    if isinstance(loaded, Dataset):
        if split is not None:
            raise DataError(
                f"`data.split` is `{split}`, and `{path}` is one data set without splits.", "Leave it out."
            )
        return loaded
    chosen = split or DEFAULT_SPLIT
    if chosen not in loaded:
        raise DataError(
            f"`{path}` has no split `{chosen}`.",
            f"Set `data.split` to one of: {', '.join(map(str, loaded))}.",
        )
    return loaded[chosen]
