"""One compiled extension as its file tells: for which GPUs, with which libraries, and what it does not find here."""

import os
import re
import struct
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from envdoc.doctor.facts import fatbin
from envdoc.doctor.facts.elf import Elf, ElfError
from envdoc.doctor.facts.elf_dynamic import DynamicSection, dynamic, versions_defined, versions_needed
from envdoc.doctor.facts.elf_symbols import undefined
from envdoc.doctor.facts.library_places import Places, expanded
from envdoc.doctor.facts.snapshot_extensions import ExtensionLibrary
from envdoc.doctor.facts.torch_symbols import FAMILY, TorchSymbols

# Libraries of CUDA that come in wheels or with a toolkit, never with the driver. Names with a hash, which auditwheel
# gives to copies inside a wheel ("libcudart.e8e8b82a.so.12"), do not fit and need no judging.
_CUDA = re.compile(
    r"lib(cudart|cublas|cublasLt|cudnn|cufft|curand|cusolver|cusparse|nvrtc|nvJitLink|nccl)\.so\.\d+(\.\d+)?"
)
_ORDINARY = re.compile(
    r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|gcc_s|stdc\+\+|gomp|numa|cuda|nvidia-ml))\.so\.\d+"
)
_PYTHON_TAG = re.compile(r"\.cpython-(\d)(\d+)[a-z]*-")
_KEPT = 6  # undefined symbols
# Of this many entries of fat binaries quick reads no more: 1,000 take about 4 ms.
QUICK_ENTRIES = 1000
_READ_ERRORS = (OSError, ElfError, struct.error, IndexError)


class Process:
    """What an extension finds when it is loaded: torch's symbols, folders, and the system's symbol versions."""

    def __init__(self, torch: TorchSymbols, places: Places, python: Tuple[int, ...], quick: bool) -> None:
        self.torch, self.places, self.python, self.quick = torch, places, python, quick
        self.glibc = _glibc()
        self._libstdcxx: Optional[Tuple[str, ...]] = None

    @property
    def libstdcxx(self) -> Tuple[str, ...]:
        """Every symbol version that some libstdc++ of this process has; empty where none was found."""
        if self._libstdcxx is None:
            found: List[str] = []
            for path in dict.fromkeys(path.resolve() for path in self.places.paths("libstdc++.so.6")):
                try:
                    with Elf(path) as elf:
                        found += versions_defined(DynamicSection(elf))
                except _READ_ERRORS:
                    continue
            self._libstdcxx = tuple(dict.fromkeys(found))
        return self._libstdcxx


def read(path: Path, file: str, siblings: Dict[str, Path], process: Process) -> Optional[ExtensionLibrary]:
    """The library at `path`; None for one that has nothing to do with a GPU, with torch or with a newer system.

    `file` is its name relative to its distribution, `siblings` are the other libraries of that by name. A damaged
    one is described by its `problem` where its name or its header tells nothing more.
    """
    file = file.encode("utf-8", "replace").decode()  # a name need not be text, and a snapshot is
    tag = _PYTHON_TAG.search(path.name)
    other = bool(tag and len(process.python) > 1 and (int(tag[1]), int(tag[2])) != process.python[:2])
    try:
        with Elf(path) as elf:
            section, asked = DynamicSection(elf), dynamic(elf)
            architectures = fatbin.architectures(elf, 8, QUICK_ENTRIES if process.quick else 0)
            needed = tuple(name for name in asked.needed if FAMILY.fullmatch(name) or _CUDA.fullmatch(name))
            folders = expanded((*asked.rpath, *asked.runpath), path)
            folders += [str(sibling.parent) for sibling in siblings.values()]
            versions = () if other else _versions(versions_needed(section), folders, process)
            if not (architectures or needed or versions or elf.named(".nv_fatbin")):
                return None
            missing = () if other else _missing(needed, folders, process)
            lacking: Tuple[str, ...] = ()
            if not missing and not other and _may_compare(asked.needed, folders, siblings, process):
                beside = [siblings[name] for name in asked.needed if name in siblings]
                lacking = process.torch.missing(undefined(section), beside)
    except _READ_ERRORS as error:
        return ExtensionLibrary(file=file, other_python=other, problem=str(error) or "it cannot be read")
    return ExtensionLibrary(
        file, architectures, needed, missing, lacking[:_KEPT], len(lacking), versions, other_python=other
    )


def _missing(needed: Sequence[str], folders: Sequence[str], process: Process) -> Tuple[str, ...]:
    """Which of torch's and CUDA's libraries are nowhere. Nothing is said about torch's where torch was not read."""
    return tuple(
        name
        for name in needed
        if not process.places.has(name, folders) and (process.torch.readable or not FAMILY.fullmatch(name))
    )


def _may_compare(
    needed: Sequence[str], folders: Sequence[str], siblings: Dict[str, Path], process: Process
) -> bool:
    """Only where torch is asked for, and no library is asked for that is unknown and could have the symbols."""
    if not any(FAMILY.fullmatch(name) for name in needed):
        return False
    others = [
        name
        for name in needed
        if not (
            FAMILY.fullmatch(name) or _CUDA.fullmatch(name) or _ORDINARY.fullmatch(name) or name in siblings
        )
    ]
    return all(process.places.has(name, folders) for name in others)


def _versions(needed: Iterable[Tuple[str, str]], folders: Sequence[str], process: Process) -> Tuple[str, ...]:
    """The symbol versions that this system does not have, the newest of each kind.

    A library that brings a libstdc++ of its own in one of `folders` is not judged by the system's.
    """
    lacking: Dict[str, str] = {}
    for library, version in needed:
        kind, _, number = version.rpartition("_")
        if not re.fullmatch(r"[\d.]+", number):
            continue  # GLIBC_PRIVATE, GLIBC_ABI_DT_RELR, CXXABI_FLOAT128
        if kind == "GLIBC" and process.glibc:
            is_missing = _numbers(number) > _numbers(process.glibc)
        elif kind in ("GLIBCXX", "CXXABI") and library == "libstdc++.so.6" and process.libstdcxx:
            is_missing = version not in process.libstdcxx and not process.places.is_in(
                "libstdc++.so.6", folders
            )
        else:
            continue
        if is_missing and _numbers(number) > _numbers(lacking.get(kind, "").rpartition("_")[2]):
            lacking[kind] = version
    return tuple(lacking.values())


def _numbers(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part)


def _glibc() -> str:
    """ "2.36"; empty on a system without glibc."""
    try:
        told = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return ""
    return told.partition(" ")[2]
