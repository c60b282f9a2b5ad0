"""Raw rows out of a file, one file a format; every reader is lazy, so that a million rows never lie in memory.

    .jsonl  .json  .csv  .tsv       the standard library alone; each may end in .gz too
    .parquet                        pyarrow
    a folder                        what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` of `datasets` wrote

A reader yields (number, content). The number is the line in JSON Lines and the place, from 1, elsewhere (the header
of a table is not counted). The content is a dict, or whatever else stands there, or `Unreadable`: reading goes on
after such a row, for the report counts them all; training stops at the first.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from envdoc.train.errors import DataError

RawRow = Tuple[int, Any]
FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
# The columns that a row is made of, or refused for (shapes.py). Tables may hold any others (embeddings, images), which
# are never read.
COLUMNS = (
    "messages", "conversations", "instruction", "input", "output", "prompt", "completion", "system", "tools",
    "rejected", "label", "kto_tag",
)  # fmt: skip
# And of rows that were tokenised elsewhere (tokenised.py); `length` means something else in a table of texts.
TOKEN_COLUMNS = (
    "input_ids", "labels", "attention_mask", "length", "seq_len", "completion_mask", "assistant_masks",
)  # fmt: skip


@dataclass(frozen=True)
class Unreadable:
    """What stands in the place of a row that its reader could not read: the rest of a sentence, and a hint."""

    problem: str
    hint: Optional[str] = None


def raw_rows(path: Path, split: Optional[str] = None) -> Iterator[RawRow]:
    """Every raw row of `path`. Raises DataError where the file as a whole cannot be read."""
    kind = _kind(path)
    if kind == "saved":
        from envdoc.train.readers.saved import read

        yield from read(path, split)
        return
    if split is not None:
        raise DataError(
            f"`data.split` is `{split}`, and `{path}` is one file without splits.", "Leave it out."
        )
    try:
        if kind == ".parquet":
            from envdoc.train.readers.parquet import read as read_parquet

            yield from read_parquet(path)
        elif kind in (".csv", ".tsv"):
            from envdoc.train.readers.table import read as read_table

            yield from read_table(path)
        elif kind == ".json":
            from envdoc.train.readers.json_list import read as read_list

            yield from read_list(path)
        else:
            from envdoc.train.readers.json_lines import read as read_lines

            yield from read_lines(path)
    except (
        OSError,
        EOFError,
        zlib.error,
    ) as error:  # the last two of a packed file that is cut off or damaged
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"The data file `{path}` cannot be read: {reason}.") from None


def wanted(names: Sequence[str]) -> List[str]:
    """The columns of a table that are read; all where none is known, so that the refusal can name them."""
    known = COLUMNS + TOKEN_COLUMNS if "input_ids" in names else COLUMNS
    return [name for name in names if name in known] or list(names)


def _kind(path: Path) -> str:
    """The suffix that tells the reader, or "saved" for a folder; raises DataError where nothing can be read."""
    if path.is_dir():
        if not any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
            raise DataError(
                f"`{path}` is a folder, and none that `save_to_disk` of `datasets` wrote: it has no state.json.",
                f"Name the file itself ({', '.join(FORMATS)}).",
            )
        return "saved"
    if not path.exists():
        raise DataError(
            f"There is no data file `{path}`.",
            "Name a file with `data=FILE`; relative paths start at the working directory.",
        )
    name = path.name[: -len(".gz")] if path.suffix == ".gz" else path.name
    suffix = Path(name).suffix.lower()
    return suffix if suffix in FORMATS else ".jsonl"
