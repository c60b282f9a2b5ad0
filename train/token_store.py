"""Encoded rows on the disk, memory-mapped, and kept for the next run under the hash of everything that shapes them.

ENVDOC_HOME/cache/tokens/HASH/
├── ids.i32        every token of every row, end to end
├── learnt.u8      1 where a token is its own label, 0 where nothing is learnt
├── lengths.i32    tokens of each row
├── numbers.i64    the number of each row in its file
└── about.json     written last: counts, notes, and each file's hash, which is looked at before it is used

A store is written under another name and renamed. Those that were not used for longest go when all of them together
exceed LIMIT_BYTES; a run that still reads one keeps what it has mapped.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union, overload

import numpy

from envdoc.train.errors import SaveError
from envdoc.train.fingerprint import file_sha256
from envdoc.train.turns import MASKED, Tokens

LIMIT_BYTES = 20 * 2**30  # some four billion tokens
PARTIAL = ".partial-"
FORGOTTEN_SECONDS = 24 * 3600.0  # after which a half-written store belongs to no run any more
ABOUT = "about.json"
ARRAYS: Dict[str, Any] = {
    "ids.i32": numpy.int32,
    "learnt.u8": numpy.uint8,
    "lengths.i32": numpy.int32,
    "numbers.i64": numpy.int64,
}


class Fingerprint:
    """A hash of named values; each goes in with its length, so that no two lists of values run together."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, name: str, *values: Union[str, int, bytes]) -> None:
        """Some values under a name."""
        for value in values:
            content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
            self._digest.update(f"{name}\0{len(content)}\0".encode())
            self._digest.update(content)

    def hexdigest(self) -> str:
        """The hash."""
        return self._digest.hexdigest()


class StoredRows(Sequence[Tokens]):
    """The rows of a store; each is read where it is asked for."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.about = about
        # As plain arrays: a memmap takes several times as long for each slice.
        mapped = {
            name: numpy.memmap(folder / name, dtype, "r").view(numpy.ndarray)
            for name, dtype in ARRAYS.items()
        }
        self._ids, self._learnt = mapped["ids.i32"], mapped["learnt.u8"]
        self.lengths = numpy.array(mapped["lengths.i32"])
        self._numbers = mapped["numbers.i64"]
        self._starts = numpy.concatenate([[0], numpy.cumsum(self.lengths, dtype=numpy.int64)])

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, place: int) -> Tokens: ...

    @overload
    def __getitem__(self, place: slice) -> List[Tokens]: ...

    def __getitem__(self, place: Union[int, slice]) -> Union[Tokens, List[Tokens]]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if place < 0:
            place += len(self)
        if not 0 <= place < len(self):
            raise IndexError(place)
        row = self.arrays(place)
        return Tokens(row.number, row.input_ids.tolist(), row.labels.tolist())  # type: ignore[attr-defined]

    def arrays(self, place: int) -> Tokens:
        """The row with arrays in place of lists: to read and lay 15,400 tokens takes 0.7 ms so, and 6 ms with lists."""
        start, stop = int(self._starts[place]), int(self._starts[place + 1])
        ids = self._ids[start:stop].astype(numpy.int64)
        labels = numpy.where(self._learnt[start:stop] == 1, ids, MASKED)
        return Tokens(int(self._numbers[place]), ids, labels)


def home() -> Path:
    """Where stores are kept."""
    return Path(os.environ.get("ENVDOC_HOME") or "~/.envdoc").expanduser().absolute() / "cache" / "tokens"


def find(key: str) -> Optional[StoredRows]:
    """The store under a key, looked through byte by byte; None where there is none, and a broken one is removed."""
    folder = _place(key)
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if all(file_sha256(folder / name) == about["files"][name] for name in ARRAYS):
            found = StoredRows(folder, about)
            with contextlib.suppress(OSError):
                os.utime(str(folder / ABOUT))  # used now
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(str(folder), ignore_errors=True)
    return None


class Writer:
    """Takes parts of rows and writes them to a folder that nobody else sees yet."""

    def __init__(self, folder: Path, key: Optional[str]) -> None:
        self.folder, self.key = folder, key  # no key: not to be kept
        self.rows = self.tokens = self.answer_tokens = 0
        self._encoded = hashlib.sha256()
        self._streams: Dict[str, BinaryIO] = {name: (folder / name).open("wb") for name in ARRAYS}

    def add(
        self, numbers: numpy.ndarray, lengths: numpy.ndarray, ids: numpy.ndarray, learnt: numpy.ndarray
    ) -> None:
        """Some rows, laid end to end."""
        for name, values in zip(ARRAYS, (ids, learnt, lengths, numbers)):
            self._streams[name].write(numpy.ascontiguousarray(values, ARRAYS[name]).tobytes())
        self._encoded.update(_numbers_of(lengths, ids, learnt).tobytes())
        self.rows += len(lengths)
        self.tokens += len(ids)
        self.answer_tokens += int(learnt.sum())

    def finish(self, told: Mapping[str, Any]) -> StoredRows:
        """Put the store in its place, whole, and open it."""
        self.close(flush=True)
        about = {
            **told,
            "rows": self.rows,
            "tokens": self.tokens,
            "answer_tokens": self.answer_tokens,
            "encoded_sha256": self._encoded.hexdigest(),
            "files": {name: file_sha256(self.folder / name) for name in ARRAYS},
        }
        (self.folder / ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        rows = StoredRows(self.folder, about)  # mapped files stay what they are when the folder is renamed
        if self.key is not None:
            with contextlib.suppress(OSError):  # another run was first: it wrote the same
                self.folder.rename(_place(self.key))
            _bound(_place(self.key))
        return rows

    def close(self, flush: bool = False) -> None:
        """Close the files."""
        for stream in self._streams.values():
            if flush and self.key is not None:
                stream.flush()
                os.fsync(stream.fileno())
            stream.close()


@contextlib.contextmanager
def building(key: str) -> Iterator[Writer]:
    """A writer whose folder is gone afterwards unless it was finished.

    Where envdoc's own folder cannot be written, rows lie in the system's temporary folder and are not kept. Raises
    SaveError where a disk is full.
    """
    folder, kept = _fresh_folder()
    writer = Writer(folder, key if kept else None)
    try:
        yield writer
    except OSError as error:
        raise SaveError(
            f"The encoded rows cannot be written to `{folder.parent}`: {error.strerror}.",
            "Make room, or set ENVDOC_HOME to a folder on a larger disk.",
        ) from None
    finally:
        with contextlib.suppress(OSError):
            writer.close()
        shutil.rmtree(str(folder), ignore_errors=True)  # where it was renamed, nothing is left here


def _fresh_folder() -> Tuple[Path, bool]:
    try:
        home().mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=PARTIAL, dir=str(home()))), True
    except OSError:  # read-only, or no home
        return Path(tempfile.mkdtemp(prefix="envdoc-tokens-")), False


def _place(key: str) -> Path:
    return home() / key[:32]


def _numbers_of(lengths: numpy.ndarray, ids: numpy.ndarray, learnt: numpy.ndarray) -> numpy.ndarray:
    """Length, ids and labels of each row, one row after another, in int64: what the hash of the rows is taken over."""
    counts = lengths.astype(numpy.int64)
    begins = numpy.concatenate([[0], numpy.cumsum(1 + 2 * counts)])
    out = numpy.empty(int(begins[-1]), dtype=numpy.int64)
    out[begins[:-1]] = counts
    within = numpy.arange(len(ids)) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
    places = numpy.repeat(begins[:-1] + 1, counts) + within
    out[places] = ids
    out[places + numpy.repeat(counts, counts)] = numpy.where(learnt == 1, ids, MASKED)
    return out


def _bound(newest: Path) -> None:
    """Remove what was used longest ago until all stores fit, and what a killed run left half-written."""
    now, used = time.time(), []
    for folder in home().iterdir():
        try:
            if folder.name.startswith(PARTIAL):
                if now - folder.stat().st_mtime > FORGOTTEN_SECONDS:
                    shutil.rmtree(str(folder), ignore_errors=True)
                continue
            size = sum(path.stat().st_size for path in folder.iterdir())
            used.append(((folder / ABOUT).stat().st_mtime, size, folder))
        except OSError:  # another run removes it now
            continue
    total = sum(size for _, size, _ in used)
    for _, size, folder in sorted(used):
        if total <= LIMIT_BYTES:
            return
        if folder != newest:
            shutil.rmtree(str(folder), ignore_errors=True)
            total -= size
