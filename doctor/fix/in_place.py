"""What can be mended in place, by code: a variable for `envdoc run`, `shell` and `train`, or a folder to make.

The table says how the steps are found; they are worked out of the finding, the snapshot and the caller's variables,
and nothing is done here. A code that is not in the table has no steps: its finding is mended by a new environment, or
its command is printed.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.facts.snapshot import Snapshot, Storage
from envdoc.doctor.finding import Check
from envdoc.doctor.fix.settings import Step, digest

Finder = Callable[[Check, Snapshot, Mapping[str, str], Path], List[Step]]

_UNSET = re.compile(r"unset((?: [A-Za-z_]\w*)+)")
_EXPORT = re.compile(r"export((?: [A-Za-z_]\w*=[\w.:/-]+)+)")
_LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD")
_CUDA_FOLDER = re.compile(r"(^|/)(cuda|cudnn|nccl)[^/]*(/|$)", re.IGNORECASE)  # as CFG021 finds them
_ROOM_BYTES = 50_000_000_000  # for models, on another disk: three of 7B in 16 bit. Our judgement.


def steps_for(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> Tuple[Step, ...]:
    """What would mend the finding in place, each step once; empty where nothing in place does."""
    finder = FINDERS.get(check.code)
    return tuple(dict.fromkeys(finder(check, snapshot, environ, home))) if finder is not None else ()


def _as_told(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """The rule's own command, where it is nothing but `unset NAME ...` or `export NAME=VALUE ...` of plain values."""
    steps = []
    for command in check.fix.commands:
        unset, export = _UNSET.fullmatch(command), _EXPORT.fullmatch(command)
        if unset is not None:
            names = [name for name in unset.group(1).split() if name in environ]
            steps += [Step("unset", name, seen=digest(environ[name])) for name in names]
        elif export is not None and "/path/" not in command:
            pairs = [word.split("=", 1) for word in export.group(1).split()]
            steps += [_set(name, value, environ) for name, value in pairs]
    return steps


def _stray(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """CFG044 to CFG046: out of the loader's variables goes what brings the stray libraries in, and nothing else."""
    steps = []
    for library in snapshot.surroundings.stray_libraries:
        is_stub = PurePosixPath(library.path).name.startswith("libcuda.so")
        if library.variable == "LD_PRELOAD":
            steps += _drop(environ, "LD_PRELOAD", (library.path,)) if check.code == "CFG045" else []
        elif is_stub == (check.code == "CFG046") and check.code != "CFG045":
            steps += _drop(environ, "LD_LIBRARY_PATH", (str(PurePosixPath(library.path).parent),))
    if check.code == "CFG045":
        gone = tuple(one.name for one in snapshot.loading.preloads if one.by == "LD_PRELOAD" and one.problem)
        steps += _drop(environ, "LD_PRELOAD", gone)
    return steps


def _displaced(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """CFG060, CFG061: the folder or file from which a library is taken that the environment has itself."""
    steps = []
    for one in snapshot.loading.overrides:
        if one.by in _LOADER:
            path = PurePosixPath(one.taken)
            steps += _drop(environ, one.by, (one.taken, path.name, str(path.parent)))
    return steps


def _driver_preloaded(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    names = [one for one in snapshot.loading.preloads if one.by == "LD_PRELOAD"]
    driver = [one.name for one in names if re.search(r"lib(cuda|nvidia-ml)\.so", one.name)]
    return _drop(environ, "LD_PRELOAD", tuple(driver))


def _cuda_folders(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """CFG021, CFG073: the folders of CUDA toolkits; the driver's own mounts stay, or the GPU would be gone."""
    found = [entry for entry in _entries(environ, "LD_LIBRARY_PATH") if _CUDA_FOLDER.search(entry)]
    return _drop(environ, "LD_LIBRARY_PATH", tuple(found))


def _compat(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """DRV006: the folders of NVIDIA's forward-compatibility package."""
    found = [
        entry for entry in _entries(environ, "LD_LIBRARY_PATH") if "compat" in PurePosixPath(entry).parts
    ]
    return _drop(environ, "LD_LIBRARY_PATH", tuple(found))


def _python_path(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """CFG068: the folders of PYTHONPATH that are not there."""
    gone = [entry for entry in _entries(environ, "PYTHONPATH") if not Path(entry).exists()]
    return _drop(environ, "PYTHONPATH", tuple(gone))


def _temporary_missing(
    check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path
) -> List[Step]:
    """SYS021: the folder that the variable names, where it can be made; else one of envdoc's own."""
    place = snapshot.storage_for("tmp")
    if place is not None and place.path.startswith("/") and place.writable:
        return [Step("folder", place.path)]
    return _own_temporary(snapshot, environ, home)


def _temporary_moved(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    return _own_temporary(snapshot, environ, home)


def _own_temporary(snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    own, place = snapshot.storage_for("envdoc"), snapshot.storage_for("tmp")
    if own is None or own.noexec or own.writable is False or (place is not None and _one_disk(own, place)):
        return []
    folder = home / "tmp"
    return [Step("folder", str(folder)), _set("TMPDIR", str(folder), environ)]


def _written(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """SYS001, SYS002, SYS032: the folder for temporary files, or that for models, moved to envdoc's disk."""
    if re.search(r"\btmp folder\b", check.title):
        return _own_temporary(snapshot, environ, home)
    own, cache = snapshot.storage_for("envdoc"), snapshot.storage_for("cache")
    of_cache = check.code == "SYS032" or re.search(r"\bcache folder\b", check.title)
    if not of_cache or own is None or cache is None or own.writable is False:
        return []
    if check.code != "SYS002" and (_one_disk(own, cache) or own.free_bytes < _ROOM_BYTES):
        return []
    if own.file_system in ("tmpfs", "ramfs"):
        return []
    return [Step("folder", str(home / "models")), *_cache_at(home / "models", cache, environ)]


def _cache_at(folder: Path, cache: Storage, environ: Mapping[str, str]) -> List[Step]:
    """Models go to `folder`; whoever is logged in to the hub stays so (the token lies in the former HF_HOME)."""
    steps = [_set("HF_HUB_CACHE", str(folder), environ)]
    if "HUGGINGFACE_HUB_CACHE" in environ:
        steps.append(_set("HUGGINGFACE_HUB_CACHE", str(folder), environ))
    return steps


def _compiled(check: Check, snapshot: Snapshot, environ: Mapping[str, str], home: Path) -> List[Step]:
    """SYS031 and CFG086: a folder of envdoc's own for what a variable puts where it cannot be."""
    wanted = ("noexec",) if check.code == "SYS031" else ("closed", "not a folder")
    own = snapshot.storage_for("envdoc")
    if own is None or own.writable is False or (own.noexec and check.code == "SYS031"):
        return []
    steps = []
    for path in snapshot.named.paths:
        if path.problem in wanted and check.title.startswith((f"{path.variable}:", f"{path.variable} is ")):
            folder = home / "caches" / path.variable.lower()
            steps += [Step("folder", str(folder)), _set(path.variable, str(folder), environ)]
    return steps


def _set(name: str, value: str, environ: Mapping[str, str]) -> Step:
    return Step("set", name, value, digest(environ.get(name)))


def _drop(environ: Mapping[str, str], name: str, unwanted: Tuple[str, ...]) -> List[Step]:
    bare = {entry.rstrip("/") for entry in unwanted}
    return [Step("drop", name, entry) for entry in _entries(environ, name) if entry.rstrip("/") in bare]


def _entries(environ: Mapping[str, str], name: str) -> List[str]:
    value = environ.get(name, "")
    return [e for e in (value.replace(" ", ":") if name == "LD_PRELOAD" else value).split(":") if e]


def _one_disk(first: Storage, second: Storage) -> bool:
    """Two folders on what looks like one file system: of one kind, size and room."""
    told: Tuple[Optional[object], ...] = (first.file_system, first.total_bytes, first.free_bytes)
    return told == (second.file_system, second.total_bytes, second.free_bytes)


AS_TOLD = (
    # Variables that a library cannot read, no longer reads, or that were left over: without them its default holds.
    "BNB005", "CFG011", "CFG020", "CFG022", "CFG024", "CFG025", "CFG026", "CFG027", "CFG041", "CFG048", "CFG051",
    "CFG067", "CFG069", "CFG080", "CFG081", "CFG082", "CFG083", "CFG084", "CFG085", "CFG087", "CFG088", "CFG092",
    "CFG094", "CFG095", "CFG096", "CFG098", "CFG099", "CFG102", "CFG103", "CFG105", "CFG106", "GPU002", "GPU008",
    "GPU010", "SYS008", "SYS050",
)  # fmt: skip

FINDERS: Dict[str, Finder] = {
    **{code: _as_told for code in AS_TOLD},
    "CFG021": _cuda_folders,
    "CFG044": _stray,
    "CFG045": _stray,
    "CFG046": _stray,
    "CFG060": _displaced,
    "CFG061": _displaced,
    "CFG062": _driver_preloaded,
    "CFG068": _python_path,
    "CFG073": _cuda_folders,
    "DRV006": _compat,
    "SYS001": _written,
    "SYS002": _written,
    "SYS003": _temporary_moved,
    "SYS021": _temporary_missing,
    "SYS031": _compiled,
    "SYS032": _written,
    "CFG086": _compiled,
}
