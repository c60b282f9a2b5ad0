"""torch and bitsandbytes as their files tell: never imported, so a broken one is described like a whole one."""

import re
import struct
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from envdoc.doctor.facts import fatbin
from envdoc.doctor.facts.elf import Elf, ElfError, problem_of
from envdoc.doctor.facts.snapshot import BitsandbytesBuild, BitsandbytesLibrary, TorchBuild
from envdoc.doctor.files import read_text

# Without these no `import torch` ends well; the next ones are there in a CUDA build alone.
_TORCH_LIBRARIES = ("libc10.so", "libtorch_cpu.so", "libtorch_python.so")
_TORCH_CUDA_LIBRARIES = ("libc10_cuda.so", "libtorch_cuda.so")
_SPLIT_CUDA_LIBRARY = (
    "libtorch_cuda_cu.so"  # holds the kernels of torch 1.10 to 1.13 built with BUILD_SPLIT_CUDA
)

_ARCHITECTURE = rb"(?:sm|compute)_[0-9]{2,3}[af]?"
_LIST = re.compile(rb"%s(?: %s)*(?=\0)" % (_ARCHITECTURE, _ARCHITECTURE))
_GENCODE = re.compile(rb"-gencode[ ;=]arch=compute_[0-9]+[af]?,code=\[?([a-z0-9_,]+)")
_BITSANDBYTES = re.compile(r"libbitsandbytes_(cuda|rocm|hip|cpu|xpu|mps)([0-9]*)[a-z_]*\.so$")
_READ_ERRORS = (OSError, ElfError, struct.error, IndexError)


def torch_build(sys_path: Sequence[str]) -> Optional[TorchBuild]:
    """torch's version.py, architecture list and missing or truncated libraries; None where there is no torch.

    The list is the string that torch was compiled with (what `torch._C._cuda_getArchFlags()` returns); where it
    cannot be read, the fat binary of libtorch_cuda.so, then the compiler flags in its data, are asked.
    """
    folder = find_package("torch", sys_path)
    if folder is None:
        return None
    try:
        text = read_text(folder / "version.py", 1 << 18)
    except OSError as error:
        problem = f"torch/version.py cannot be read ({error.strerror}); the installation is not whole."
        return TorchBuild(location=str(folder), problem=problem)
    cuda, hip = assigned(text, "cuda"), assigned(text, "hip")
    libraries = folder / "lib"
    is_split = (libraries / _SPLIT_CUDA_LIBRARY).exists()
    expected = _TORCH_LIBRARIES + (_TORCH_CUDA_LIBRARIES if cuda and not is_split else ())
    problems = [problem for problem in (problem_of(libraries / name) for name in expected) if problem]
    if not (folder / "__init__.py").exists():
        problems.append("torch/__init__.py is missing")
    return TorchBuild(
        version=assigned(text, "__version__") or "",
        cuda=cuda,
        hip=hip,
        architectures=_torch_architectures(libraries) if cuda else (),
        location=str(folder),
        problem=("; ".join(problems) + ".") if problems else "",
    )


def bitsandbytes_build(sys_path: Sequence[str], version: str) -> Optional[BitsandbytesBuild]:
    """The libbitsandbytes_*.so beside bitsandbytes with the architectures of each; None where it is absent.

    `version` is that of the distribution, for the releases whose source does not name one.
    """
    folder = find_package("bitsandbytes", sys_path)
    if folder is None:
        return None
    libraries = [
        _bitsandbytes_library(path, match.group(1), match.group(2))
        for path in sorted(folder.glob("libbitsandbytes*.so"))
        for match in [_BITSANDBYTES.match(path.name)]
        if match
    ]
    return BitsandbytesBuild(version=version, location=str(folder), libraries=tuple(libraries))


def find_package(name: str, sys_path: Sequence[str]) -> Optional[Path]:
    """The folder that `import NAME` would take: the first on the search path, with an __init__.py or without."""
    folders = [Path(entry) / name for entry in sys_path]
    present = [folder for folder in folders if folder.is_dir()]
    regular = [folder for folder in present if (folder / "__init__.py").exists()]
    return next(iter(regular or present), None)  # a namespace folder yields to any regular package


def assigned(text: str, name: str) -> Optional[str]:
    """The string that a line `NAME = "..."` of Python source assigns (an annotation may stand between), or None."""
    match = re.search(rf"^{name}\b[^=\n]*=\s*['\"]([^'\"\n]*)['\"]", text, re.MULTILINE)
    return match.group(1) if match else None


def _torch_architectures(libraries: Path) -> Tuple[str, ...]:
    kernels = [libraries / "libtorch_cuda.so", libraries / _SPLIT_CUDA_LIBRARY]
    for path, read in (
        (libraries / "libtorch_python.so", _from_list),
        *((path, fatbin.architectures) for path in kernels),
        *((path, _from_compiler_flags) for path in kernels),
    ):
        try:
            with Elf(path) as elf:
                found = read(elf)
        except _READ_ERRORS:
            continue
        if found:
            return found
    return ()


def _from_list(elf: Elf) -> Tuple[str, ...]:
    lists: List[bytes] = []
    for section in elf.named(".rodata"):
        lists += _LIST.findall(elf.read(section.offset, section.size_bytes))
    longest = max(lists, key=len, default=b"")
    return tuple(longest.decode("ascii").split())


def _from_compiler_flags(elf: Elf) -> Tuple[str, ...]:
    codes: List[str] = []
    for section in elf.named(".rodata"):
        for match in _GENCODE.findall(elf.read(section.offset, section.size_bytes)):
            codes += match.decode("ascii").split(",")
    unique = dict.fromkeys(code for code in codes if code.startswith(("sm_", "compute_")))
    return tuple(sorted(unique, key=lambda code: (code.startswith("compute_"), len(code), code)))


def _bitsandbytes_library(path: Path, backend: str, digits: str) -> BitsandbytesLibrary:
    backend = "rocm" if backend == "hip" else backend
    found: Tuple[str, ...] = ()
    if backend == "cuda":
        try:
            with Elf(path) as elf:
                found = fatbin.architectures(elf)
        except _READ_ERRORS:
            found = ()  # a truncated library serves nothing; its size is told beside it
    return BitsandbytesLibrary(
        file=path.name,
        backend=backend,
        cuda=f"{digits[:-1]}.{digits[-1]}" if backend == "cuda" and len(digits) > 1 else "",
        size_bytes=_size(path),
        architectures=found,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a link to nothing, or to itself
        return 0
