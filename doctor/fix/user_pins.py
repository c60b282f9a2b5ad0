"""The pins of a user's lock, read strictly: every line is a pin with hashes of its own, or one error with its number.

doctor/fix/pins.py reads any lock with hashes for one machine; this one is for the file that a person keeps and edits.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from envdoc.doctor.errors import FixError

CUDA_SECTION = "# section: cuda"  # what torch's default wheel needs beside it and its CPU build does without
_AGAIN = "Make it anew with `envdoc lock`, or pass it over with `envdoc fix --profile NAME`."
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})$")
_LIMIT_BYTES = 1 << 24


@dataclass(frozen=True)
class Pin:
    """One package of a lock."""

    name: str  # canonical
    version: str
    hashes: Tuple[str, ...]  # sha256 of every wheel that may be installed
    is_cuda: bool = False  # in the section that torch's CPU build does without


def pins_sha256(pins: Sequence[Pin]) -> str:
    """The sum of what is installed: names, versions, hashes and sections, in whatever order and layout."""
    rows = sorted(f"{p.name}=={p.version} {' '.join(sorted(p.hashes))} {int(p.is_cuda)}" for p in pins)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def pin_lines(pins: Sequence[Pin]) -> str:
    """The pins as lines of a requirements file, sorted by name."""
    blocks = []
    for pin in sorted(pins, key=lambda pin: pin.name):
        hashes = [f"--hash=sha256:{digest}" for digest in sorted(pin.hashes)]
        blocks.append(" \\\n    ".join([f"{pin.name}=={pin.version}", *hashes]) + "\n")
    return "".join(blocks)


def lines_of(path: Path) -> List[str]:
    """The lock's lines. Raises FixError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT_BYTES).decode("utf-8").splitlines()
    except OSError as error:
        raise FixError(f"The lock `{path}` cannot be read: {error.strerror or error}.", _AGAIN) from error
    except UnicodeDecodeError as error:
        raise FixError(f"The lock `{path}` is no text in UTF-8.", _AGAIN) from error


def read_strictly(path: Path, lines: Sequence[str]) -> List[Pin]:
    """Every pin, in order. Raises FixError at the first line that is no pin with hashes of its own."""
    pins: List[Pin] = []
    waiting, started, is_cuda = "", 0, False
    for number, line in enumerate([*lines, ""], 1):
        if not waiting:
            if line.strip() == CUDA_SECTION:
                is_cuda = True
            if not line.strip() or line.startswith("#") or line.strip() == "--only-binary :all:":
                continue
            started = number
        waiting += " " + line.strip()
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
            continue
        pins.append(_pin(path, started, waiting.split(), is_cuda))
        waiting = ""
    if waiting:
        raise lock_error(path, len(lines), "it ends in the middle of a pin")
    seen: Dict[str, str] = {}
    for pin in pins:
        if pin.name in seen:
            raise lock_error(
                path, len(lines), f"{pin.name} is pinned twice, to {seen[pin.name]} and {pin.version}"
            )
        seen[pin.name] = pin.version
    if not pins:
        raise lock_error(path, len(lines) or 1, "it pins nothing")
    return pins


def _pin(path: Path, number: int, words: Sequence[str], is_cuda: bool) -> Pin:
    first = words[0] if words else ""
    if "://" in " ".join(words):
        raise lock_error(
            path, number, "an address stands there; where files come from is pip's own configuration"
        )
    if first.startswith("-"):
        raise lock_error(path, number, f"the option `{first.split('=')[0][:40]}` has no place in a lock")
    pin = _PIN.match(first)
    if pin is None:
        raise lock_error(path, number, f"`{first[:60]}` is no pin of the form `name==version`")
    hashes = []
    for word in words[1:]:
        digest = _HASH.match(word)
        if digest is None:
            raise lock_error(path, number, f"`{word[:60]}` after {first[:60]} is no sha256 hash")
        hashes.append(digest.group(1))
    if not hashes:
        raise lock_error(path, number, f"{first[:60]} has no hash, so that any file could take its place")
    return Pin(re.sub(r"[-_.]+", "-", pin.group(1)).lower(), pin.group(2), tuple(hashes), is_cuda)


def lock_error(path: Path, number: int, what: str) -> FixError:
    """The sentence for a line that does not belong there."""
    return FixError(f"Line {number} of the lock `{path}`: {what}.", _AGAIN)
