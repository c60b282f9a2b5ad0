"""Sizes and file names of a profile's wheels, from the `pylock.NAME.toml` beside its lock (PEP 751)."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict

from envdoc.doctor.errors import FixError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class KnownFile:
    """What is known of a wheel before it is asked for."""

    file: str
    size_bytes: int


def pylock_of(lock: Path) -> Path:
    """Where the pylock of that lock lies; it need not exist. PEP 751 allows no dot in the name."""
    return lock.parent / f"pylock.{lock.name[: -len('.txt')].replace('.', '-')}.toml"


def known_files(lock: Path) -> Dict[str, KnownFile]:
    """sha256 to the file's name and size; empty where the lock has no pylock beside it (a user's own, a test's).

    Raises FixError where the pylock is there and damaged.
    """
    path = pylock_of(lock)
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
        return dict(_files(table))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FixError(
            f"`{path}` cannot be read: {type(error).__name__}: {error}.", "Make it again."
        ) from error


def _files(table: Dict[str, Any]) -> Any:
    for package in table["packages"]:
        for wheel in package.get("wheels", ()):
            name = wheel.get("name") or Path(wheel.get("path") or wheel["url"]).name
            if "size" in wheel:
                yield wheel["hashes"]["sha256"], KnownFile(name, int(wheel["size"]))
