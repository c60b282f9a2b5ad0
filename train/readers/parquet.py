"""Parquet, batch after batch, and the columns only that a row is made of."""

from pathlib import Path
from typing import Iterator

from envdoc.train.errors import DataError
from envdoc.train.readers import RawRow, wanted

BATCH_ROWS = 1000
BUFFER_BYTES = 1 << 20


def read(path: Path) -> Iterator[RawRow]:
    """Rows by their place from 1. Raises DataError where pyarrow is missing, or the file is no Parquet."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"`{path}` is Parquet, and this interpreter has no pyarrow to read it.",
            "Install `pyarrow` (it comes with `datasets`), or save the rows as .jsonl.",
        ) from None
    try:
        # As it is by default, the process took 467 MB for a file of 358 MB; so it takes 135 (pyarrow 26.0, 2026-11-30).
        with parquet.ParquetFile(str(path), buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            columns = wanted(file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for content in batch.to_pylist():
                    number += 1
                    yield number, content
    except pyarrow.ArrowException as error:  # of a cut file, a foreign one, a compression this build lacks
        raise DataError(
            f"`{path}` cannot be read as Parquet: {str(error).splitlines()[0].rstrip('.')}."
        ) from None
