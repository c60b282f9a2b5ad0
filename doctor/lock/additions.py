"""What a user adds to a profile: packages on the command line, `envdoc.in`, a requirements file or a pyproject.toml."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from envdoc.doctor.errors import EnvdocError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = "envdoc.in"
_DEPTH = 8  # files that include files
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[ =]*(\S+)$")


@dataclass(frozen=True)
class Additions:
    """The requirements, and what bounds them; `arguments` and `files` are what the lock's header remembers."""

    requirements: Tuple[str, ...] = ()
    constraints: Tuple[str, ...] = ()
    arguments: Tuple[str, ...] = ()
    files: Tuple[str, ...] = ()

    @property
    def names(self) -> Tuple[str, ...]:
        """The packages that were asked for, in their canonical names, each once."""
        return tuple(dict.fromkeys(str(canonicalize_name(Requirement(r).name)) for r in self.requirements))


def read_additions(
    arguments: Sequence[str], files: Sequence[str], project: Path, report: Callable[[str], None]
) -> Additions:
    """The additions of a project: arguments, its `envdoc.in` where there is one, and the files.

    Relative files are looked for in `project`. An index or find-links line is passed over and told: where packages
    come from is pip's configuration, here and on the next machine. Raises EnvdocError with file and line for what a
    lock cannot hold (an address, a folder, an editable) and for what is no requirement.
    """
    requirements: List[str] = []
    constraints: List[str] = []
    for argument in arguments:
        requirements.append(_requirement(argument, "The argument"))
    chosen = list(dict.fromkeys([*([DEFAULT] if (project / DEFAULT).is_file() else []), *files]))
    for file in chosen:
        path = project / Path(file).expanduser()
        read = _from_pyproject(path) if path.suffix == ".toml" else _from_file(path, _DEPTH, report)
        for is_constraint, line in read:
            (constraints if is_constraint else requirements).append(line)
    return Additions(
        tuple(dict.fromkeys(requirements)), tuple(dict.fromkeys(constraints)), tuple(arguments), tuple(chosen)
    )


def _requirement(text: str, where: str) -> str:
    bare = re.split(r"\s--\w", text, maxsplit=1)[0].strip()  # options of a line, its hashes
    if bare.startswith(("-e", "--editable", ".", "/")) or "://" in bare:
        raise EnvdocError(
            f"{where} `{_shown(bare)}` is a folder or an address, which no lock with hashes can hold.",
            "Name a released package here. Your own code is found in the folder that you run it in, or by PYTHONPATH.",
        )
    try:
        return str(Requirement(bare))
    except InvalidRequirement as error:
        raise EnvdocError(
            f"{where} `{_shown(bare)}` is no requirement.",
            "It is written as `trl`, `trl>=1.0` or `trl[peft]==1.16.0`.",
        ) from error


def _from_file(path: Path, depth: int, report: Callable[[str], None]) -> Iterator[Tuple[bool, str]]:
    if depth == 0:
        raise EnvdocError(f"`{path}` is included too deep: the files include each other.")
    joined = re.sub(r"\\\r?\n", lambda match: " \0", _text(path))  # the count of lines must not change
    number = 0
    for line in joined.split("\n"):
        number += 1
        first, number = number, number + line.count("\0")
        stripped = re.sub(r"(^|\s)#.*$", "", line.replace("\0", "")).strip()
        included = _INCLUDE.match(stripped)
        if included:
            is_constraint = "c" in included.group(1).lstrip("-")[:1]
            for inner, told in _from_file(path.parent / included.group(2), depth - 1, report):
                yield is_constraint or inner, told
        elif stripped.startswith("-") and not stripped.startswith(("-e", "--editable")):
            report(
                f"Line {first} of `{path}` is passed over: `{stripped.split()[0]}` is for pip's own configuration."
            )
        elif stripped:
            yield False, _requirement(stripped, f"Line {first} of `{path}`:")


def _from_pyproject(path: Path) -> Iterator[Tuple[bool, str]]:
    try:
        table = tomllib.loads(_text(path))
    except ValueError as error:
        raise EnvdocError(f"`{path}` is no TOML: {error}.") from error
    project = table.get("project")
    listed = project.get("dependencies", []) if isinstance(project, dict) else None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise EnvdocError(
            f"`{path}` has no list `dependencies` under `[project]`.",
            "Name the packages as arguments, or in `envdoc.in`.",
        )
    for item in listed:
        yield False, _requirement(item, f"A dependency of `{path}`:")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise EnvdocError(f"`{path}` cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise EnvdocError(f"`{path}` is no text in UTF-8.") from error


def _shown(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)[:100]


def only_named(additions: Additions, names: Sequence[str], known: Dict[str, str]) -> Tuple[str, ...]:
    """The canonical names to upgrade. Raises EnvdocError for one that is neither an addition nor a pin of the lock."""
    chosen = [str(canonicalize_name(Requirement(_requirement(name, "The argument")).name)) for name in names]
    for name in chosen:
        if name not in known and name not in additions.names:
            raise EnvdocError(
                f"`--upgrade {name}`: the lock holds no {name}.", f"Add it with `envdoc lock {name}` first."
            )
    return tuple(chosen)
