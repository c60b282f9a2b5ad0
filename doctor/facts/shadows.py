"""Files that an import takes instead of the module that was meant: from the working folder, PYTHONPATH, user site.

Python takes the first regular module on its path: NAME/__init__.py, NAME.*.so or NAME.py. A folder without
__init__.py yields to any regular module after it, so a folder of data named `datasets` hides nothing.
"""

import os
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from envdoc.doctor.facts.binaries import assigned
from envdoc.doctor.facts.snapshot import Interpreter, Package
from envdoc.doctor.facts.surroundings import Shadow
from envdoc.doctor.files import read_text

_VERSION_FILES = ("__init__.py", "_version.py", "version.py")
_SOURCE_LIMIT_BYTES = 1 << 18
_PROJECT_FILES = ("setup.py", "pyproject.toml", "setup.cfg")

# Loaded before the working folder is on the path, or frozen into the interpreter: no file can hide them.
_EARLY = "abc codecs encodings genericpath io ntpath os posixpath runpy site stat sitecustomize usercustomize zipimport"
_ALREADY_LOADED = frozenset(_EARLY.split())


def shadows(
    told: Interpreter, packages: Sequence[Package], work: Path, environ: Mapping[str, str]
) -> Tuple[Shadow, ...]:
    """Every shadow of a module that a later entry of the target's search path holds.

    With PYTHONSAFEPATH the working folder is never on the path. An editable install's own checkout is no shadow.
    """
    path = [Path(entry) for entry in told.sys_path]
    standard = {entry for entry in path if _is_standard_library(entry)}
    listings = {entry: _modules(entry) for entry in path}
    found: List[Shadow] = []
    is_searched = not environ.get("PYTHONSAFEPATH")
    for origin, folder in _intruders(told, environ):
        if folder in path and not (
            is_searched and folder == work
        ):  # PYTHONPATH=. adds nothing to a script's folder
            found += _over(folder, origin, path[path.index(folder) + 1 :], listings, standard)
    if is_searched:
        found += _over(work, "working folder", [entry for entry in path if entry != work], listings, standard)
    own = _checkouts(packages, work)
    return tuple(shadow for shadow in found if shadow.origin != "working folder" or shadow.module not in own)


def _intruders(told: Interpreter, environ: Mapping[str, str]) -> Iterator[Tuple[str, Path]]:
    for entry in dict.fromkeys(environ.get("PYTHONPATH", "").split(os.pathsep)):
        if entry:
            yield "PYTHONPATH", Path(entry).absolute()
    if told.user_site_enabled and told.user_site:
        yield "user site", Path(told.user_site)


def _over(
    folder: Path,
    origin: str,
    rest: Sequence[Path],
    listings: Mapping[Path, Dict[str, Path]],
    standard: Set[Path],
) -> Iterator[Shadow]:
    for module, path in sorted(_modules(folder).items()):
        hidden = next((entry for entry in rest if module in listings[entry]), None)
        if hidden is None or module in _ALREADY_LOADED or not _is_regular(path):
            continue
        hides = listings[hidden][module]
        if not _same(path, hides):
            yield Shadow(module, str(path), str(hides), origin, hidden in standard, _version(path))


def _modules(folder: Path) -> Dict[str, Path]:
    """What may be imported from the folder by name; a folder comes before a file of its name, as in Python."""
    found: Dict[str, Path] = {}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return found
    for entry in entries:
        stem, dot, suffix = entry.name.partition(".")
        if not stem.isidentifier():
            continue
        if not dot:
            if not entry.name.startswith("__") and entry.is_dir():
                found[stem] = Path(entry.path)
        elif suffix in ("py", "pyc") or suffix.endswith("so"):
            found.setdefault(stem, Path(entry.path))
    return found


def _is_regular(path: Path) -> bool:
    return path.suffix != "" or (path / "__init__.py").is_file()


def _is_standard_library(folder: Path) -> bool:
    return (folder / "os.py").is_file() or folder.name == "lib-dynload"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _checkouts(packages: Sequence[Package], work: Path) -> Set[str]:
    """Modules of editable installs, where the working folder lies in a project's checkout or one below it."""
    if not any((folder / name).is_file() for folder in (work, work.parent) for name in _PROJECT_FILES):
        return set()
    return {package.name.replace("-", "_") for package in packages if package.editable}


def _version(path: Path) -> str:
    files = [path] if path.suffix == ".py" else [path / name for name in _VERSION_FILES]
    for file in files:
        try:
            text = read_text(file, _SOURCE_LIMIT_BYTES)
        except OSError:
            continue
        version = assigned(text, "__version__")
        if version:
            return version
    return ""
