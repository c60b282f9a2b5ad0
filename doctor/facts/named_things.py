"""What environment variables name: files and folders that are not there or not open, and secrets by their shape."""

import os
import re
from pathlib import Path
from typing import List, Mapping

from envdoc.doctor.facts.snapshot_system import NamedPath, NamedThings
from envdoc.doctor.facts.storage import Mount, home_folder, mount_of, mounts, nearest
from envdoc.doctor.redact import without_credentials

FILES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "PIP_CONSTRAINT",
    "NCCL_TOPO_FILE",
)
FOLDERS = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "TORCH_HOME",
    "TORCH_EXTENSIONS_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "CUDA_CACHE_PATH",
    "XDG_CACHE_HOME",
)
EITHER = ("REQUESTS_CA_BUNDLE",)  # requests takes a folder of certificates too
# What is compiled there is loaded from there.
LOADED_FROM = ("TORCH_EXTENSIONS_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_PLACEHOLDER = re.compile(
    r"^(?:<.*>|\$\{?\w+\}?|\{\{.*\}\}|x{3,}|\*{3,}|\.{3,}|none|null|token|changeme|"
    r"(?:hf_)?(?:x{3,}|\*{3,}|\.{3,}|your.*|my.*token|token|xxx.*|replace.*|insert.*))$",
    re.IGNORECASE,
)


def named_things(environ: Mapping[str, str]) -> NamedThings:
    """Paths with a problem, and secrets of a shape that no server takes."""
    return NamedThings(
        paths=tuple(_paths(environ)),
        token_shapes=tuple(
            (name, shape) for name in TOKENS for shape in [token_shape(environ.get(name, ""))] if shape
        ),
    )


def _paths(environ: Mapping[str, str]) -> List[NamedPath]:
    found: List[NamedPath] = []
    for name in FILES:
        value = environ.get(name, "")
        for entry in value.split() if name == "PIP_CONSTRAINT" else [value] if value else []:
            path = Path(entry)
            if "://" in entry:
                continue
            if not path.exists():
                found.append(NamedPath(name, "missing", entry))
            elif path.is_dir() and name not in EITHER:
                found.append(NamedPath(name, "not a file", entry))
    known = mounts()
    home = home_folder(environ)
    candidates = [(name, Path(environ[name]).expanduser()) for name in FOLDERS if environ.get(name)]
    if not environ.get("TRITON_CACHE_DIR"):
        candidates.append(("TRITON_CACHE_DIR", home / ".triton" / "cache"))
    for name, folder in candidates:
        problem = _folder_problem(folder)
        if problem and name in environ:
            found.append(NamedPath(name, problem, without_credentials(environ[name])))
        elif not problem and name in LOADED_FROM and _is_noexec(folder, known):
            found.append(NamedPath(name, "noexec", str(folder)))
    return found


def _folder_problem(folder: Path) -> str:
    """Empty where the folder is there and open, or may be made."""
    try:
        if folder.exists():
            if not folder.is_dir():
                return "not a folder"
            return "" if os.access(folder, os.W_OK | os.X_OK) else "closed"
        for above in folder.absolute().parents:
            if above.exists():
                if not above.is_dir():
                    return "not a folder"
                return "" if os.access(above, os.W_OK | os.X_OK) else "closed"
    except OSError:
        return "closed"
    return ""


def _is_noexec(folder: Path, known: List[Mount]) -> bool:
    present = nearest(folder)
    mount = mount_of(str(present.resolve()), known) if present else None
    return mount is not None and "noexec" in mount.options


def token_shape(value: str) -> str:
    """What is wrong with a token by its form alone; empty where it may be one. The value goes nowhere."""
    token = value.strip()  # huggingface_hub strips it too (utils/_auth.py)
    if not token:
        return ""
    if len(token) > 1 and token[0] == token[-1] and token[0] in "'\"":
        return "quoted"
    if token.lower().startswith("bearer "):
        return "bearer"
    if _PLACEHOLDER.match(token):
        return "placeholder"
    if re.search(r"\s", token):
        return "whitespace"
    if not token.isascii():
        return "not ASCII"
    if token.startswith(("/", "~")):
        return "path"
    return ""
