"""JSON Lines: one object a line, UTF-8."""

import gzip
import json
from pathlib import Path
from typing import IO, Any, Iterator, List, Tuple, cast

from envdoc.train.errors import DataError
from envdoc.train.readers import RawRow, Unreadable

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read(path: Path) -> Iterator[RawRow]:
    """Rows by their line; empty lines are passed over."""
    with opened(path) as stream:
        # Bytes are cut at b"\n" alone: str.splitlines would also cut at U+2028, which may stand inside a row.
        for number, line in enumerate(stream, 1):
            if number == 1:
                if line.startswith(UTF16_MARKS):
                    yield 1, Unreadable("is UTF-16 text.", "Save the file as UTF-8.")
                    return
                if line.strip() == b"[":
                    raise DataError(
                        f"`{path}` is one JSON list, and no JSON Lines.", "Let its name end in .json."
                    )
                line = line[3:] if line.startswith(b"\xef\xbb\xbf") else line
            if line.strip():
                yield number, parsed(line)


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def parsed(line: bytes) -> Any:
    """The content of one line, or Unreadable."""
    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=without_doubles)
    except UnicodeDecodeError:
        return Unreadable("is not UTF-8 text.", "Save the file as UTF-8.")
    except RecursionError:
        return Unreadable("is nested too deeply to be read.")
    except ValueError as error:  # JSONDecodeError; and a number of more digits than Python converts
        # json's own words count lines within the row, which read oddly beside its number
        said = (
            f"{error.msg}, at character {error.pos + 1}"
            if isinstance(error, json.JSONDecodeError)
            else str(error)
        )
        return Unreadable(f"is not JSON: {said}.", "JSON Lines is one object a line.")


def without_doubles(pairs: List[Tuple[str, Any]]) -> Any:
    """A JSON object; Unreadable where a key is there twice, of which json would take the last in silence."""
    content = dict(pairs)
    if len(content) == len(pairs):
        return content
    keys = [key for key, _ in pairs]
    double = next(key for key in keys if keys.count(key) > 1)
    return Unreadable(
        f"has the key `{double}` twice.", "Which of the two is meant cannot be told: remove one."
    )
