"""Installed files against what their RECORD says: there, of that size, with that content; owned by one package.

Format: the specification "Recording installed projects" (path, hash, size as CSV). What pip itself rewrites or adds
later has no size there or lies outside the folder (`../../../bin/...`, whose first line is rewritten, pip#10744), and
is passed over, like .pyc files. All 25,700 files of an environment with torch are compared in 0.1 s by size.
"""

import os
import re
import stat
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from envdoc.doctor.facts.elf import is_for_another_machine, problem_of
from envdoc.doctor.facts.leftovers import folders_without_entry
from envdoc.doctor.facts.packages import harmless, normalised
from envdoc.doctor.facts.pth import pth_problems
from envdoc.doctor.facts.snapshot import Distribution, FileFault, Integrity, SharedFiles
from envdoc.doctor.files import open_file, read_bytes

_FAULTS_KEPT = 12  # of each distribution, those that hurt first
_RECORD_LIMIT_BYTES = 1 << 26  # that of torch 2.13 with its headers is 1.4 MB
# `--quick` looks at the compiled files and the entry points of these alone: 10 ms instead of 120. torch's own
# libraries are read by binaries.py in any case.
_QUICK = (
    *(
        "triton",
        "pytorch_triton",
        "transformers",
        "tokenizers",
        "safetensors",
        "peft",
        "accelerate",
        "bitsandbytes",
    ),
    *("datasets", "numpy", "pyarrow", "huggingface_hub", "hf_xet", "sentencepiece"),
)
_QUICK_FAMILIES = ("nvidia_", "cuda_")
_QUICK_FILE = re.compile(r"\.so$|\.so\.|^[^/]+/__init__\.py$")
_LIBRARY = re.compile(r"\.so(\.[0-9]+)*$")
# Images are made smaller by deleting these, and nothing misses them. Certificates are added to cacert.pem on
# purpose, where a company's proxy signs.
_NEEDLESS = (
    r"(^|/)(tests?|testing|docs?|examples|benchmarks|include|share|__pycache__|[^/]+\.dist-info)/|\.(pyc|pyi|pxd|pyx|md|rst|a|cmake)$"
    r"|(^|/)cacert\.pem$|(^|/)(licen[cs]e|notice|copying|readme)[^/]*$"
)
# The system's own packages are rebuilt, stripped and patched after their RECORD was written (12 files of seven
# packages of Debian 12), and its package manager is who verifies them.
_SYSTEM_FOLDERS = ("/usr/lib/", "/usr/lib64/")
# Folders that several distributions share on purpose (namespaces), or by carelessness and without effect.
_SHARED_ON_PURPOSE = (
    "nvidia",
    "google",
    "azure",
    "mpl_toolkits",
    "tests",
    "test",
    "examples",
    "docs",
    "scripts",
)


_Sizes = Dict[str, Set[Tuple[str, int]]]  # of a path: which dist-info recorded which size


class _Line(NamedTuple):
    path: str
    digest: str  # "sha256=...", as recorded
    size_bytes: int


def integrity(sys_path: Sequence[str], quick: bool = False, deep: bool = False) -> Integrity:
    """Every distribution on the search path against its RECORD.

    With `quick` only the libraries and entry points of the packages that training needs; with `deep` the contents
    of every file are hashed as well (1.5 s for an environment of 1.7 GB that is in memory). Paths that lead out of
    the folder are not followed.
    """
    found: List[Distribution] = []
    shared: List[SharedFiles] = []
    leftovers: List[str] = []
    pth = []
    for folder in (Path(entry) for entry in sys_path if not entry.startswith(_SYSTEM_FOLDERS)):
        names = _names(folder)
        infos = [name for name in names if name.endswith(".dist-info") and not name.startswith("~")]
        if not infos:
            continue
        lines = {
            info: _read_record(folder / info / "RECORD") for info in infos if not quick or _is_quick(info)
        }
        sizes: _Sizes = {}  # read when the first file differs
        for info, recorded in lines.items():
            found.append(_compare(folder, info, recorded, infos, sizes, quick, deep))
        if not quick:
            shared += _shared(lines)
        leftovers += folders_without_entry(folder, set(names), infos)
        pth += pth_problems(folder, [name for name in names if name.endswith(".pth")], sys_path)
    depth = "contents" if deep else "libraries" if quick else "sizes"
    return Integrity(depth, tuple(found), tuple(shared), tuple(leftovers), tuple(pth))


def _is_quick(info: str) -> bool:
    name = info.partition("-")[0].lower()
    return name in _QUICK or name.startswith(_QUICK_FAMILIES)


def _names(folder: Path) -> List[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError:  # a zip file, or a folder that is gone: the search path may hold both
        return []


def _read_record(path: Path) -> Optional[str]:
    try:
        return read_bytes(path, _RECORD_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


def _lines(record: str, quick: bool = False) -> Iterator[_Line]:
    """The lines with a size whose path stays in the folder."""
    for line in record.splitlines():
        if quick and ".so" not in line and "/__init__.py" not in line:
            continue
        if line.startswith('"'):  # a comma in the name
            import csv  # rare

            row = next(csv.reader([line]))
            path, digest, size = row if len(row) == 3 else ("", "", "")
        else:
            rest, _, size = line.rpartition(",")
            path, _, digest = rest.rpartition(",")
        if not path or (quick and not _QUICK_FILE.search(path)):
            continue
        if size.isdigit() and not path.startswith(("/", "..")) and "/../" not in path and "\0" not in path:
            yield _Line(path, digest, int(size))


def _compare(
    folder: Path,
    info: str,
    record: Optional[str],
    infos: Sequence[str],
    sizes: _Sizes,
    quick: bool,
    deep: bool,
) -> Distribution:
    stem = info[: -len(".dist-info")].split("-")
    name, version = normalised(stem[0]), harmless(stem[1]) if len(stem) > 1 else ""
    tags = _wheel_tags(folder / info / "WHEEL")
    if record is None:
        return Distribution(name, version, str(folder), False, tags)
    faults: List[FileFault] = []
    checked = 0
    base = f"{folder}/"
    for line in _lines(record, quick):
        checked += 1
        fault = _fault(base, line, deep)
        if fault is not None and not re.search(_NEEDLESS, line.path, re.IGNORECASE):
            faults.append(fault)
    if any(fault.problem != "missing" for fault in faults):
        if not sizes:
            _note_sizes(sizes, folder, infos)
        faults = [fault for fault in faults if not _fits_another(fault, info, sizes)]
    faults.sort(key=lambda fault: (not fault.breaks, fault.path))
    entries = tuple(
        fault.path for fault in faults if fault.problem == "missing" and _is_entry(base, fault.path)
    )
    return Distribution(
        name, version, str(folder), True, tags, checked, len(faults), tuple(faults[:_FAULTS_KEPT]), entries
    )


def _fault(base: str, line: _Line, deep: bool) -> Optional[FileFault]:
    try:
        status = os.stat(base + line.path)  # noqa: PTH116 a Path each doubles the time
    except (OSError, ValueError):
        return FileFault(line.path, "missing", line.size_bytes, 0, _is_code(line.path))
    if status.st_size != line.size_bytes:
        is_library = bool(_LIBRARY.search(line.path))
        breaks = (
            bool(problem_of(Path(base + line.path))) or is_for_another_machine(Path(base + line.path))
            if is_library
            else _is_code(line.path) and not status.st_size
        )
        return FileFault(line.path, "size", line.size_bytes, status.st_size, breaks)
    if deep and stat.S_ISREG(status.st_mode) and not _same_content(base + line.path, line.digest):
        return FileFault(
            line.path, "contents", line.size_bytes, status.st_size, bool(_LIBRARY.search(line.path))
        )
    return None


def _is_code(path: str) -> bool:
    return path.endswith(".py") or "/bin/" in path or bool(_LIBRARY.search(path))


def _is_entry(base: str, path: str) -> bool:
    """Whether it is the __init__.py of an import name whose folder is still there."""
    head, _, tail = path.partition("/")
    return tail == "__init__.py" and Path(base + head).is_dir()


def _same_content(path: str, recorded: str) -> bool:
    algorithm, _, value = recorded.partition("=")
    if algorithm not in ("sha256", "sha384", "sha512"):
        return True
    import base64
    import hashlib  # loads OpenSSL, which `--quick` has no use for

    digest = hashlib.new(algorithm)
    try:
        with open_file(Path(path)) as file:
            while True:
                block = file.read(1 << 20)
                if not block:
                    break
                digest.update(block)
    except OSError:
        return False
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() == value.rstrip("=")


def _note_sizes(sizes: _Sizes, folder: Path, infos: Sequence[str]) -> None:
    for info in infos:
        for line in _lines(_read_record(folder / info / "RECORD") or ""):
            sizes.setdefault(line.path, set()).add((info, line.size_bytes))


def _fits_another(fault: FileFault, info: str, sizes: _Sizes) -> bool:
    """Whether another distribution wrote over that file, and it has the size that this one recorded."""
    return fault.problem != "missing" and any(
        other != info and size == fault.found_bytes for other, size in sizes.get(fault.path, ())
    )


def _wheel_tags(path: Path) -> Tuple[str, ...]:
    """The tags of a wheel with compiled code, such as `cp311-cp311-manylinux_2_28_x86_64`."""
    try:
        text = read_bytes(path, 1 << 16).decode("utf-8", "replace")
    except OSError:
        return ()
    tags = tuple(line[4:].strip() for line in text.splitlines() if line[:4].lower() == "tag:")
    return () if any(tag.endswith("-none-any") for tag in tags) else tags


def _shared(records: Dict[str, Optional[str]]) -> List[SharedFiles]:
    """Code files that two distributions both recorded."""
    owners: Dict[str, str] = {}
    common: Dict[Tuple[str, str, str], List[str]] = {}
    for info, record in records.items():
        for line in _lines(record or ""):
            is_code = line.path.endswith((".py", ".so")) or (
                line.path.startswith("nvidia/") and _LIBRARY.search(line.path)
            )
            if line.size_bytes and is_code:
                first = owners.setdefault(line.path, info)
                if first != info:
                    common.setdefault((line.path.split("/")[0], first, info), []).append(line.path)
    return [
        SharedFiles(import_name, _said(first), _said(second), len(files), tuple(files[:3]))
        for (import_name, first, second), files in common.items()
        if ((len(files) > 1 and import_name not in _SHARED_ON_PURPOSE) or _are_libraries(files))
        and _said(first)[0] != _said(second)[0]
    ]


def _are_libraries(files: Sequence[str]) -> bool:
    """NVIDIA's wheels share the folder nvidia/ on purpose, and never a library in it."""
    return files[0].startswith("nvidia/") and any(_LIBRARY.search(file) for file in files)


def _said(info: str) -> Tuple[str, str]:
    stem = info[: -len(".dist-info")].split("-")
    return normalised(stem[0]), harmless(stem[1]) if len(stem) > 1 else ""
