"""A lock or requirements file as entries: `name==version` lines with hashes, `-r` one level deep, or a pylock.toml.

Formats: pip's requirements files (continuation lines, comments, options) and PEP 751 (`[[packages]]` with name, version
and marker). What is no requirement (`--hash`, `--index-url`, `-e .`, an URL without a name) is passed over.
"""

import re
import sys
from pathlib import Path
from typing import Any, Iterator, List, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot_packages import Lock, LockEntry
from envdoc.doctor.files import read_bytes

_LIMIT_BYTES = 1 << 24
_INCLUDE = re.compile(r"(?:-r|--requirement)[ =]*(\S+)$")
_PARSER = "tomllib" if sys.version_info >= (3, 11) else "tomli"


def read_lock(path: Path) -> Lock:
    """The file's entries. Raises EnvdocError where it cannot be read, or holds no requirement at all."""
    text = _text(path)
    entries = (
        _from_pylock(path, text) if path.suffix == ".toml" else tuple(_from_requirements(path, text, True))
    )
    if not entries:
        raise EnvdocError(
            f"The lock file `{path}` names no package.",
            "It may be a requirements file (`name==version` lines) or a pylock.toml.",
        )
    return Lock(str(path), entries)


def _text(path: Path) -> str:
    try:
        return read_bytes(path, _LIMIT_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise EnvdocError(f"The lock file `{path}` cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise EnvdocError(f"The lock file `{path}` is no text in UTF-8.") from error


def _from_requirements(path: Path, text: str, follow: bool) -> Iterator[LockEntry]:
    from packaging.requirements import InvalidRequirement, Requirement  # only `--lock` needs it

    for number, line in enumerate(re.sub(r"\\\r?\n", " ", text).splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        include = _INCLUDE.match(line)
        if include and follow:
            other = path.parent / include.group(1)
            yield from _from_requirements(other, _text(other), False)
        if not line or line.startswith("-") or line.startswith((".", "/")) or "://" in line.split("@")[0]:
            continue
        bare = re.split(r"\s--\w", line, maxsplit=1)[0].strip()  # its --hash options
        try:
            requirement = Requirement(bare)
        except InvalidRequirement as error:
            raise EnvdocError(
                f"Line {number} of the lock file `{path}` is no requirement: `{bare[:60]}`.",
                "A line is `name==version`, an option that starts with `-`, or a comment.",
            ) from error
        marker = str(requirement.marker) if requirement.marker is not None else ""
        yield LockEntry(_normalised(requirement.name), str(requirement.specifier), marker)


def _from_pylock(path: Path, text: str) -> Tuple[LockEntry, ...]:
    import importlib

    parser: Any = importlib.import_module(_PARSER)
    try:
        packages = parser.loads(text).get("packages", [])
    except ValueError as error:
        raise EnvdocError(f"The lock file `{path}` is no TOML: {error}.") from error
    entries: List[LockEntry] = []
    for row in packages if isinstance(packages, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise EnvdocError(f"In the lock file `{path}` a package has no name.")
        version = row.get("version")
        specifier = f"=={version}" if isinstance(version, str) else ""
        entries.append(LockEntry(_normalised(row["name"]), specifier, str(row.get("marker", ""))))
    return tuple(entries)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
