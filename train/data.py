"""Training rows: read lazily, checked, before anything slow is loaded.

`readers/` reads the files, `shapes.py` makes conversations of what they hold; here both are put together. The whole
data is never in memory unless a caller keeps it: `iterate_rows` yields row after row, and with `data.streaming` what
`read_rows` returns reads the file anew for each pass over it.
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, Optional, Tuple

from envdoc.train import tokenised
from envdoc.train.config import BUNDLED, Data
from envdoc.train.errors import DataError
from envdoc.train.readers import Unreadable, raw_rows
from envdoc.train.shapes import messages_of, shape_of
from envdoc.train.tokenised import Encoded, tokens_of

BUNDLED_FILE = Path(__file__).parent / "assets" / "instructions.jsonl"
BLOCK_BYTES = 1 << 20

Message = Dict[str, str]


@dataclass(frozen=True)
class Row:
    """One conversation, or the ids of one. `number` is its line in JSON Lines, its place (from 1) elsewhere."""

    number: int
    messages: Tuple[Message, ...] = ()
    tokens: Optional[Encoded] = None  # of a row that was tokenised elsewhere, which then has no messages

    @property
    def content(self) -> bytes:
        """All that is in the row, its number aside: equal for equal rows."""
        if self.tokens is not None:
            return self.tokens.ids.tobytes() + self.tokens.learnt
        return json.dumps(list(self.messages), sort_keys=True).encode()


class StreamedRows(Collection[Row]):
    """Rows that are read from the file again by every loop over them; their number is known from the first pass."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self._count = sum(1 for _ in iterate_rows(data))  # which checks them all, too

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return iterate_rows(self.data)

    def __contains__(self, row: object) -> bool:
        return any(row == other for other in self)


def data_file(data: Data) -> Path:
    """The file, or the folder of `save_to_disk`, that `data.path` names."""
    return BUNDLED_FILE if data.path == BUNDLED else Path(data.path).expanduser()


def read_rows(data: Data) -> Collection[Row]:
    """Every row, checked: a tuple, or with `data.streaming` rows that are read again wherever they are needed.

    Raises DataError with the row's number.
    """
    return StreamedRows(data) if data.streaming else tuple(iterate_rows(data))


def iterate_rows(data: Data) -> Iterator[Row]:
    """Row after row, checked, none of them kept.

    Raises DataError with the row's number at the first unfit one, ConfigError for settings that the rows' shape denies.
    """
    path = data_file(data)
    shape = None if data.format == "auto" else data.format
    number = 0
    for number, content in raw_rows(path, data.split):
        where = f"`{path}`, row {number},"
        if isinstance(content, Unreadable):
            raise DataError(f"{where} {content.problem}", content.hint)
        if shape is None:
            shape = shape_of(content, where)
        if shape == tokenised.SHAPE:
            tokenised.check(data)
        yield row_of(number, content, shape, where)
    if not number:
        raise DataError(f"The data file `{path}` holds no row.")


def made_elsewhere(rows: Collection[Row]) -> bool:
    """True for rows of token ids. The first tells, since it gives all others their shape."""
    return any(row.tokens is not None for row in itertools.islice(rows, 1))


def row_of(number: int, content: Any, shape: str, where: str) -> Row:
    """The row of what a reader yielded. `where` begins each sentence. Raises DataError for an unfit one."""
    if shape == tokenised.SHAPE:
        return Row(number, tokens=tokens_of(content, where))
    return Row(number, messages_of(content, shape, where))


def data_sha256(data: Data) -> str:
    """The hash of the file's bytes, or of the names and bytes of the folder's files; memory stays at a block."""
    path = data_file(data)
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_data(file))
    for file in files:
        if file is not path:
            digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            for block in iter(lambda: stream.read(BLOCK_BYTES), b""):
                digest.update(block)
    return digest.hexdigest()


def _is_data(file: Path) -> bool:
    return file.is_file() and not file.name.startswith("cache-")  # which `Dataset.map` leaves beside the data
