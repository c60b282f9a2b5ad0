"""Every installed distribution, read as text: no importlib.metadata, whose import alone costs more than the scan.

Formats: *.dist-info (the specification "Recording installed projects"), *.egg-info folders and files, *.egg-link and
.egg folders of old setuptools. Whatever a METADATA holds, the scan goes on; what is wrong with it is told.
"""

import dataclasses
import os
import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple
from urllib.parse import unquote, urlsplit

from envdoc.doctor.facts.binaries import assigned, find_package
from envdoc.doctor.facts.snapshot import Package
from envdoc.doctor.files import open_file, read_bytes

_HEADERS_LIMIT_BYTES = 1 << 20  # the longest of 141 distributions seen, matplotlib 3.11.2's, are 76 kB
_SOURCE_LIMIT_BYTES = 1 << 18
# Those whose module is asked for its version at run time, and may have been laid over by PYTHONPATH or a half upgrade.
_WITH_MODULE_VERSION = (
    "accelerate",
    "bitsandbytes",
    "datasets",
    "numpy",
    "peft",
    "safetensors",
    "tokenizers",
    "transformers",
)
_VERSION_FILES = ("__init__.py", "_version.py", "version.py")
_JSON_VERSION = re.compile(r'^ *"version": "([^"\n]+)"', re.MULTILINE)  # versioneer, in numpy 1.2x
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_SEPARATORS = re.compile(r"[-_.]+")
_REPLACEMENT = "\ufffd"
# What no name and no version of a package holds (PEP 508, PEP 440): both are put into commands that are to be pasted.
_FOREIGN = re.compile(r"[^A-Za-z0-9._+!~-]")
_LONGEST = 200


class _Headers(NamedTuple):
    name: str = ""
    version: str = ""
    requires: Tuple[str, ...] = ()
    requires_python: str = ""
    problem: str = ""


def scan(sys_path: Sequence[str]) -> Tuple[Package, ...]:
    """Every distribution on the search path, in its order: of one name the first is the one that metadata means."""
    packages: List[Package] = []
    seen: Set[str] = set()
    for folder in sys_path:
        for package in _in_folder(Path(folder)):
            if package.name in _WITH_MODULE_VERSION and package.name not in seen:
                package = dataclasses.replace(package, module_version=_module_version(package.name, sys_path))
            seen.add(package.name)
            packages.append(package)
    return tuple(packages)


def normalised(name: str) -> str:
    """The name as PEP 503 compares it: lower case, runs of `-`, `_` and `.` as one hyphen."""
    return _SEPARATORS.sub("-", harmless(name)).lower()


def harmless(text: str) -> str:
    """A name or a version with `_` for every character that neither may hold, cut where it is absurdly long."""
    return _FOREIGN.sub("_", text)[:_LONGEST]


def _in_folder(folder: Path) -> Iterator[Package]:
    if folder.suffix == ".egg" and (folder / "EGG-INFO").is_dir():
        yield _egg_info(folder / "EGG-INFO", folder.name[: -len(".egg")])
        return
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:  # a zip file, a folder that is gone or closed: nothing can be imported from it either
        return
    for name in names:
        if name.endswith(".dist-info"):
            yield _dist_info(folder / name)
        elif name.endswith(".egg-info"):
            yield _egg_info(folder / name, name[: -len(".egg-info")])
        elif name.endswith(".egg-link"):
            yield _egg_link(folder / name)


def _dist_info(path: Path) -> Package:
    file_name, file_version = _from_file_name(path.name[: -len(".dist-info")])
    if file_name.startswith("~"):
        problem = "an interrupted `pip install` left it behind; pip passes it over"
        return Package(harmless(file_name), harmless(file_version), str(path.parent), problem=problem)
    headers = _headers(path / "METADATA")
    editable, gone = _editable(path / "direct_url.json")
    return Package(
        name=normalised(headers.name or file_name),
        version=harmless(headers.version or file_version),
        location=str(path.parent),
        requires=headers.requires,
        requires_python=headers.requires_python,
        installer=_text(path / "INSTALLER").strip()[:40],
        editable=editable,
        problem=headers.problem or gone,
    )


def _egg_info(path: Path, stem: str) -> Package:
    """Old setuptools: a folder with PKG-INFO and requires.txt, or that one file by itself (distutils)."""
    file_name, file_version = _from_file_name(stem)
    headers = _headers(path / "PKG-INFO" if path.is_dir() else path)
    unconditional = _text(path / "requires.txt").split("\n[", 1)[0] if path.is_dir() else ""
    requires = tuple(line.strip() for line in unconditional.splitlines() if line.strip())
    return Package(
        name=normalised(headers.name or file_name),
        version=harmless(headers.version or file_version),
        location=str(path.parent),
        requires=headers.requires or (() if unconditional.startswith("[") else requires),
        requires_python=headers.requires_python,
        installer=_text(path / "INSTALLER").strip()[:40] if path.is_dir() else "",
        problem=headers.problem,
    )


def _egg_link(path: Path) -> Package:
    name = normalised(path.name[: -len(".egg-link")])
    lines = _text(path).splitlines()
    source = Path(lines[0].strip()) if lines else path
    for folder in sorted(source.glob("*.egg-info")) if source.is_dir() else []:
        if normalised(_from_file_name(folder.name[: -len(".egg-info")])[0]) == name:
            return dataclasses.replace(_egg_info(folder, folder.stem), name=name, editable=True)
    problem = f"its editable source `{source}` is gone or has no metadata"
    return Package(name, location=str(path.parent), editable=True, problem=problem)


def _headers(path: Path) -> _Headers:
    """The headers before the first empty line; the description after it can be megabytes and is not read."""
    try:
        raw = _header_bytes(path)
    except FileNotFoundError:
        return _Headers(problem=f"its {path.name} is missing")
    except OSError as error:
        return _Headers(problem=f"its {path.name} cannot be read ({error.strerror})")
    if not raw.strip():
        return _Headers(problem=f"its {path.name} is empty")
    values: Dict[str, List[str]] = {}
    for line in raw.decode("utf-8", "replace").splitlines():
        key, colon, value = line.partition(": ")
        if colon and not key.startswith((" ", "\t")):  # else a continuation, which none of ours has
            values.setdefault(key.lower(), []).append(value.strip())
    name, version = _first(values, "name"), _first(values, "version")
    requires = tuple(values.get("requires-dist", ()))
    missing = [label for label, value in (("Name", name), ("Version", version)) if not value]
    problem = ""
    if missing:
        problem = f"its {path.name} has no {' and no '.join(missing)}"
    elif _FOREIGN.search(name) or _FOREIGN.search(version):
        problem = f"its {path.name} has a Name or a Version that no package can have"
    elif _REPLACEMENT in "".join((name, version, *requires)):
        problem = f"its {path.name} is not UTF-8"
    return _Headers(name, version, requires, _first(values, "requires-python"), problem)


def _header_bytes(path: Path) -> bytes:
    with open_file(path) as file:
        raw = b""
        while len(raw) < _HEADERS_LIMIT_BYTES:
            more = file.read(1 << 14)
            raw += more
            end = _EMPTY_LINE.search(raw)
            if end or not more:
                return raw[: end.start()] if end else raw
    return raw


def _first(values: Dict[str, List[str]], key: str) -> str:
    return values.get(key, [""])[0]


def _from_file_name(stem: str) -> Tuple[str, str]:
    """Name and version of `peft-0.21.2`, and of `foo-1.0-py3.8` as distutils names it."""
    parts = stem.split("-")
    return parts[0], parts[1] if len(parts) > 1 else ""


def _editable(direct_url: Path) -> Tuple[bool, str]:
    """Whether it is an editable install (PEP 610), and what is wrong where its source is gone."""
    text = _text(direct_url)
    if '"editable"' not in text:
        return False, ""
    import json  # few environments have one

    try:
        told = json.loads(text)
        if not told["dir_info"]["editable"]:
            return False, ""
        source = Path(unquote(urlsplit(told["url"]).path))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False, ""
    return True, "" if source.is_dir() else f"its editable source `{source}` is gone"


def _module_version(name: str, sys_path: Sequence[str]) -> str:
    """The version in the source of the package that an import would take; empty where the source does not say."""
    folder = find_package(name, sys_path)
    for file in _VERSION_FILES if folder else ():
        text = _text(folder / file)  # type: ignore[operator]
        version = assigned(text, "__version__") or assigned(text, "version")
        if version:
            return version
        if file == "_version.py":
            match = _JSON_VERSION.search(text)
            if match:
                return match.group(1)
    return ""


def _text(path: Path) -> str:
    try:
        return read_bytes(path, _SOURCE_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
