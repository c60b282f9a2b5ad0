"""Where a library of a given name could come from, for a process of the target interpreter.

This is generous on purpose: a name that is found in none of these places is missing for certain, while one that is
found may still lose against another. It looks at names in folders and opens nothing.
"""

import os
import re
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Sequence

from envdoc.doctor.facts.elf import ElfError
from envdoc.doctor.facts.elf_dynamic import dynamic_of

# What glibc's loader searches without being told, on Debian, Fedora and Arch (ld.so(8); multiarch folders of Debian).
_SYSTEM = (
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/local/lib",
)
_CONFIGURATION = "/etc/ld.so.conf"
_LINES_LIMIT = 1000
_TORCH_LOADERS = ("libtorch_global_deps.so", "libc10_cuda.so", "libtorch_cuda.so")
_RENAMED = re.compile(r"^lib.*[-.][0-9a-f]{8}\.so")


class Places:
    """Folders with libraries, in the order of their likelihood; each is listed once, when it is first asked about."""

    def __init__(
        self, sys_path: Sequence[str], prefixes: Sequence[str], torch: str, environ: Mapping[str, str]
    ) -> None:
        self._listed: Dict[str, FrozenSet[str]] = {}
        told = [entry for entry in re.split(r"[:;]", environ.get("LD_LIBRARY_PATH", "")) if entry]
        own = [f"{prefix}/lib" for prefix in dict.fromkeys(prefixes) if prefix]
        self.process: List[str] = [*own, *told, *_configured(), *_SYSTEM]  # for libstdc++ and the like
        self.torch = f"{torch}/lib" if torch else ""
        if self.torch:
            self._listed[self.torch] = self._names(self.torch) | _own_names(
                self.torch, self._names(self.torch)
            )
        self._wheels = [
            self.torch,
            *_asked_by_torch(self.torch),
            *(folder for entry in sys_path for folder in _nvidia_folders(entry)),
        ]

    def has(self, name: str, own_folders: Sequence[str] = ()) -> bool:
        """Whether a file of that name lies in one of `own_folders`, beside torch, in NVIDIA's wheels or the system."""
        return self.is_in(name, own_folders) or self.is_in(name, (*self._wheels, *self.process))

    def is_in(self, name: str, folders: Sequence[str]) -> bool:
        """Whether a file of that name lies in one of these folders."""
        return any(name in self._names(folder) for folder in folders)

    def paths(self, name: str) -> List[Path]:
        """Every place of the process where a file of that name lies."""
        return [Path(folder) / name for folder in self.process if name in self._names(folder)]

    def _names(self, folder: str) -> FrozenSet[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(entry.name for entry in os.scandir(folder))
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return self._listed[folder]


def _asked_by_torch(folder: str) -> List[str]:
    """Where torch's own libraries have CUDA's looked for: what they loaded from there is there for extensions too."""
    found: List[str] = []
    for name in _TORCH_LOADERS if folder else ():
        path = Path(folder) / name
        try:
            asked = dynamic_of(path)
        except (OSError, ElfError):
            continue
        found += expanded((*asked.rpath, *asked.runpath), path)
    return list(dict.fromkeys(found))


def _own_names(folder: str, names: FrozenSet[str]) -> FrozenSet[str]:
    """The names that renamed libraries give themselves.

    torch's wheels of CUDA 10 and 11 hold libcudart-80664282.so.10.2, whose SONAME is still libcudart.so.10.2 (read
    off torch 1.12.1): once torch has loaded it, it answers an extension that asks for that name.
    """
    found: List[str] = []
    for name in filter(_RENAMED.search, names):
        try:
            found.append(dynamic_of(Path(folder) / name).soname)
        except (OSError, ElfError):
            continue
    return frozenset(found)


def expanded(folders: Sequence[str], library: Path) -> List[str]:
    """RPATH or RUNPATH with $ORIGIN as the folder of the library; entries with other variables stay as they are."""
    origin = str(library.parent)
    return [folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for folder in folders]


def _nvidia_folders(entry: str) -> List[str]:
    """site-packages/nvidia/*/lib, where NVIDIA's wheels put their libraries (nvidia/cu13/lib since CUDA 13)."""
    try:
        return [f"{folder.path}/lib" for folder in os.scandir(f"{entry}/nvidia") if folder.is_dir()]
    except OSError:
        return []


def _configured(path: str = _CONFIGURATION, depth: int = 0) -> List[str]:
    """The folders of /etc/ld.so.conf and the files that it includes."""
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()[:_LINES_LIMIT]
    except OSError:
        return []
    found: List[str] = []
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"] and depth < 3:
            for pattern in words[1:]:
                for included in sorted(Path("/").glob(pattern.lstrip("/"))):
                    found += _configured(str(included), depth + 1)
        elif words and words[0].startswith("/"):
            found.append(words[0])
    return found
