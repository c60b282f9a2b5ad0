"""What variables of the shell bring in from outside: CUDA libraries, a conda environment, another Python's pip."""

import os
import re
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from envdoc.doctor.facts.surroundings import CondaEnvironment, StrayLibrary
from envdoc.doctor.files import open_file

# The libraries of CUDA, cuDNN and NCCL that torch loads, as their files are named.
CUDA_LIBRARY = re.compile(
    r"^lib(?:cudart|cublas|cublasLt|cudnn\w*|nccl|nvrtc|nvJitLink|cusparse|cusolver|cufft|curand|cupti)\.so"
)
_STUB = re.compile(r"^libcuda\.so(?:\.1)?$")
_LIMIT = 40  # a folder of a toolkit holds as many; more would say no more

# conda's names of the packages that decide what is trained with.
_NAMES = (
    "accelerate bitsandbytes cuda-cudart cudatoolkit cudnn datasets nccl numpy peft pytorch tokenizers torchvision "
    "transformers triton"
)
_CONDA_PACKAGES = frozenset(_NAMES.split())

# Variables by whose names we look for slips of the pen: roots, since a slip may be in the prefix too.
_ROOTS = (
    "ACCELERATE",
    "BITSANDBYTES",
    "BNB_",
    "CUDA",
    "HF_",
    "HUGGING",
    "NCCL",
    "PYTORCH",
    "TOKENIZER",
    "TORCH",
    "TRANSFORMER",
    "WANDB_",
)
_SECRET = re.compile(r"TOKEN(?!IZER)|SECRET|PASSW|KEY|CREDENTIAL|AUTH")


def stray_libraries(environ: Mapping[str, str], prefix: str) -> Tuple[StrayLibrary, ...]:
    """CUDA libraries on LD_LIBRARY_PATH and in LD_PRELOAD that are none of the target's own; stubs of libcuda too."""
    found: List[StrayLibrary] = []
    for entry in re.split(r"[:;]", environ.get("LD_LIBRARY_PATH", "")):
        folder = Path(entry or ".")
        if not entry or (prefix and _inside(folder, prefix)):
            continue
        found += [StrayLibrary(str(folder / name), "LD_LIBRARY_PATH") for name in _cuda_names(folder)]
    for entry in re.split(r"[: ]", environ.get("LD_PRELOAD", "")):
        path = Path(entry)
        if entry and not (prefix and _inside(path, prefix)):
            exists = path.exists() if os.sep in entry else True  # a bare name is looked for by the loader
            if CUDA_LIBRARY.match(path.name) or not exists:
                found.append(StrayLibrary(entry, "LD_PRELOAD", exists))
    return tuple(found)


def _cuda_names(folder: Path) -> List[str]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return []
    is_stubs = folder.name == "stubs"
    return [name for name in names if CUDA_LIBRARY.match(name) or (is_stubs and _STUB.match(name))][:_LIMIT]


def _inside(path: Path, prefix: str) -> bool:
    return str(path).startswith(prefix.rstrip("/") + "/")


def conda_environment(environ: Mapping[str, str]) -> Optional[CondaEnvironment]:
    """What CONDA_PREFIX names, where it is a conda environment (it has a conda-meta folder)."""
    prefix = environ.get("CONDA_PREFIX", "")
    try:
        names = sorted(entry.name for entry in os.scandir(Path(prefix) / "conda-meta")) if prefix else []
    except OSError:
        return None
    if not prefix:
        return None
    files = (name[: -len(".json")].rsplit("-", 2) for name in names if name.endswith(".json"))
    packages = tuple((parts[0], parts[1]) for parts in files if len(parts) == 3)
    return CondaEnvironment(prefix, tuple(pair for pair in packages if pair[0] in _CONDA_PACKAGES))


def pip_on_path(environ: Mapping[str, str]) -> Dict[str, str]:
    """`pip`, the interpreter that it runs and the first python on PATH; empty where nothing tells."""
    path = environ.get("PATH", "")
    pip = shutil.which("pip", path=path) or ""
    python = shutil.which("python", path=path) or shutil.which("python3", path=path) or ""
    return {"pip": pip, "pip_python": interpreter_of(Path(pip)) if pip else "", "path_python": python}


def interpreter_of(script: Path) -> str:
    """From `#!/path/python`, or the `exec` of a launcher whose path was too long for that line (pip writes both)."""
    try:
        with open_file(script) as file:
            lines = file.read(1024).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    first = lines[0][2:].strip().strip('"') if lines and lines[0].startswith("#!") else ""
    if Path(first).name.startswith(("python", "pypy")):
        return first
    match = (
        re.match(r"'''exec' \"?([^\"]+?)\"? \"\$0\"", lines[1])
        if first == "/bin/sh" and len(lines) > 1
        else None
    )
    return match.group(1) if match else ""


def variable_names(environ: Mapping[str, str]) -> Tuple[str, ...]:
    """The names, never values, of variables that start as the libraries' do; none that may be a secret's."""
    return tuple(sorted(_named_like_libraries(environ)))


def _named_like_libraries(environ: Mapping[str, str]) -> Iterator[str]:
    for name in environ:
        if name.startswith(_ROOTS) and re.fullmatch(r"[A-Z0-9_]{4,60}", name) and not _SECRET.search(name):
            yield name
