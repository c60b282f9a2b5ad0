"""A folder that `save_to_disk` of `datasets` wrote, read by `load_from_disk`: the seed's own way.

A set that datasets 4 or 5 wrote and 3 is to read (that is what Python 3.8 has) names its lists by a type that 3 does
not know, and every tokenised set has lists. Its rows are Arrow all the same, and are then read as such.
"""

import json
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

from envdoc.train.errors import DataError
from envdoc.train.readers import RawRow, wanted

BATCH_ROWS = 1000
DEFAULT_SPLIT = "train"
# What 3.1.0 says of a list that 5.2.0 wrote, and what both say of any other type that they do not know (2026-11-30).
UNKNOWN_TYPE = ("must be called with a dataclass type or instance", "Feature type '")


def read(path: Path, split: Optional[str]) -> Iterator[RawRow]:
    """Rows by their place from 1, out of the memory-mapped files. Raises DataError."""
    table = _table(path, split)
    if table is None:
        yield from _read_arrow(path, split)
        return
    # As Arrow: whatever format was saved with the set (torch, often) is passed over, and no image is decoded.
    rows = table.with_format("arrow", columns=wanted(table.column_names))
    for start in range(0, len(rows), BATCH_ROWS):
        yield from enumerate(rows[start : start + BATCH_ROWS].to_pylist(), start + 1)


def _table(path: Path, split: Optional[str]) -> Any:
    """The set, or its split; None where a newer `datasets` wrote it."""
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
        if str(error).startswith(UNKNOWN_TYPE):
            return None
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"`{path}` cannot be read by `datasets.load_from_disk`: {reason}.",
            f"This is datasets {__version__}; what a newer one wrote it may not know: save the rows as .jsonl there.",
        ) from None
    if isinstance(loaded, Dataset):
        _choose(path, split, None)
        return loaded
    return loaded[_choose(path, split, tuple(map(str, loaded)))]


def _choose(path: Path, split: Optional[str], splits: Optional[Tuple[str, ...]]) -> str:
    """The split that is meant; `splits` is None of a single set. Raises DataError where there is none such."""
    if splits is None:
        if split is not None:
            raise DataError(
                f"`data.split` is `{split}`, and `{path}` is one data set without splits.", "Leave it out."
            )
        return ""
    chosen = split or DEFAULT_SPLIT
    if chosen not in splits:
        raise DataError(
            f"`{path}` has no split `{chosen}`.", f"Set `data.split` to one of: {', '.join(splits)}."
        )
    return chosen


def _read_arrow(path: Path, split: Optional[str]) -> Iterator[RawRow]:
    """The same rows from the stream files that `state.json` lists, in its order."""
    import pyarrow

    try:
        splits = path / "dataset_dict.json"
        named = tuple(json.loads(splits.read_text(encoding="utf-8"))["splits"]) if splits.is_file() else None
        folder = path / _choose(path, split, named)
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        number = 0
        for listed in state["_data_files"]:
            with pyarrow.memory_map(str(folder / listed["filename"])) as file:
                for batch in pyarrow.ipc.open_stream(file):
                    columns = wanted(batch.schema.names)
                    for content in pyarrow.Table.from_batches([batch]).select(columns).to_pylist():
                        number += 1
                        yield number, content
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        raise DataError(f"`{path}` cannot be read as Arrow: {error}.") from None
