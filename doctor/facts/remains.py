"""What interrupted and half-undone installs leave in the site folders: folders set aside, dead links, stale modules.

pip renames what it replaces to `~` and the rest of the name, in the same folder, and deletes it at the end
(pip/_internal/utils/temp_dir.py, AdjacentTempDirectory); a process that is killed in between leaves it. uv with
`link-mode = symlink` installs links into its cache, which `uv cache clean` empties.
"""

import os
from pathlib import Path
from typing import Iterator, List, Sequence, Set, Tuple

from envdoc.doctor.facts.snapshot_packages import CondaOwned, Remains, StaleFiles
from envdoc.doctor.files import read_bytes

_SYSTEM_FOLDERS = ("/usr/lib/", "/usr/lib64/")
_STALE_KEPT = 5
_RECORD_LIMIT_BYTES = 1 << 26
# Whose folders are looked through: those whose modules a run imports. torch's 2,500 modules would double the time,
# and a torch of two releases does not get as far as being examined.
_LOOKED_THROUGH = (
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "trl",
    "tokenizers",
    "safetensors",
)
_LINKED = (*_LOOKED_THROUGH, "torch", "numpy", "triton", "huggingface_hub")
# conda's names of the packages that pip may have laid over them.
_CONDA_NAMES = (
    *("accelerate", "bitsandbytes", "datasets", "huggingface_hub", "libtorch", "numpy", "peft", "pytorch"),
    *("pytorch-cpu", "pytorch-cuda", "pytorch-gpu", "safetensors", "tokenizers", "torchaudio", "torchvision"),
    *("transformers", "triton", "trl"),
)


def remains(sys_path: Sequence[str], prefix: str, quick: bool = False) -> Remains:
    """What lies in the site folders of the search path and should not; stale modules only without `quick`."""
    set_aside: List[str] = []
    dangling: List[str] = []
    partial: List[str] = []
    stale: List[StaleFiles] = []
    for folder in (Path(entry) for entry in sys_path if not entry.startswith(_SYSTEM_FOLDERS)):
        try:
            names = {entry.name for entry in os.scandir(folder)}
        except OSError:
            continue
        infos = [name for name in names if name.endswith(".dist-info") and not name.startswith("~")]
        set_aside += (str(folder / name) for name in sorted(names) if _is_set_aside(name))
        if not infos:
            continue
        dangling += _dangling(folder, names)
        if not quick:
            cut = [info for info in sorted(infos) if _is_partial(folder / info)]
            partial += (str(folder / info / "RECORD") for info in cut)
            stale += _stale(folder, names, [info for info in infos if info not in cut])
    return Remains(tuple(set_aside), tuple(dangling), tuple(partial), tuple(stale), _conda(prefix))


def _is_set_aside(name: str) -> bool:
    """`~ransformers`, but not `~ransformers-4.40.0.dist-info`, which the scan of packages tells."""
    return name.startswith(("~", "pip-uninstall-")) and not name.endswith((".dist-info", ".egg-info"))


def _dangling(folder: Path, names: Set[str]) -> Iterator[str]:
    for name in _LINKED:
        if name in names:
            for path in (folder / name, folder / name / "__init__.py"):
                if path.is_symlink() and not path.exists():
                    yield str(path)
                    break


def _is_partial(info: Path) -> bool:
    """Whether its RECORD is there and is empty, ends within a line, or does not list itself as every one does."""
    try:
        text = read_bytes(info / "RECORD", _RECORD_LIMIT_BYTES)
    except OSError:
        return False
    ends_within_a_line = text.rpartition(b"\n")[2].count(b",") < 2 and not text.endswith(b"\n")
    return not text.strip() or ends_within_a_line or info.name.encode() + b"/RECORD" not in text


def _stale(folder: Path, names: Set[str], infos: Sequence[str]) -> Iterator[StaleFiles]:
    """Modules in the folders of the stack that no RECORD there lists."""
    looked = [
        name
        for name in _LOOKED_THROUGH
        if name in names and any(i.split("-")[0].lower() == name for i in infos)
    ]
    if not looked:
        return
    recorded: Set[str] = set()
    for info in infos:
        recorded |= _recorded(folder / info / "RECORD", tuple(name + "/" for name in looked))
    for name in looked:
        if f"{name}/__init__.py" not in recorded:  # editable, installed by conda, or its RECORD is gone
            continue
        unknown = sorted(path for path in _modules(str(folder), name) if path not in recorded)
        if unknown:
            yield StaleFiles(name, str(folder / name), len(unknown), tuple(unknown[:_STALE_KEPT]))


def _recorded(path: Path, starts: Tuple[str, ...]) -> Set[str]:
    try:
        text = read_bytes(path, _RECORD_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return set()
    return {line.split(",", 1)[0] for line in text.splitlines() if line.startswith(starts)}


def _modules(folder: str, name: str) -> Iterator[str]:
    for place, folders, files in os.walk(os.path.join(folder, name)):  # noqa: PTH118 a Path each doubles the time
        folders[:] = [entry for entry in folders if entry != "__pycache__"]
        for file in files:
            if file.endswith(".py"):
                yield f"{place[len(folder) + 1 :]}/{file}"


def _conda(prefix: str) -> Tuple[CondaOwned, ...]:
    """What conda's list says of the training stack; the files are called `pytorch-2.5.1-py3.12_cuda12.4_0.json`."""
    try:
        files = sorted(entry.name for entry in os.scandir(Path(prefix) / "conda-meta")) if prefix else []
    except OSError:
        return ()
    parts = [file[: -len(".json")].rsplit("-", 2) for file in files if file.endswith(".json")]
    return tuple(CondaOwned(part[0], part[1]) for part in parts if len(part) == 3 and part[0] in _CONDA_NAMES)
