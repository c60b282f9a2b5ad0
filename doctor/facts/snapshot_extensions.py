"""The branch of the snapshot that describes compiled extensions: what they were built for and what they find here."""

from typing import Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class ExtensionLibrary:
    """One *.so of a distribution that has GPU code, or needs torch's or CUDA's libraries, or cannot be loaded."""

    file: (
        str  # relative to the folder of the distribution: "flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so"
    )
    architectures: Tuple[str, ...] = ()  # ("sm_80", "sm_90a", "compute_90"); empty: no GPU code, or not told
    needed: Tuple[
        str, ...
    ] = ()  # torch's and CUDA's libraries that it asks for: ("libc10.so", "libcudart.so.12")
    missing: Tuple[str, ...] = ()  # those of them that are nowhere to be found
    undefined: Tuple[
        str, ...
    ] = ()  # torch's symbols that it needs and this torch does not export: the first few
    undefined_count: int = 0
    versions: Tuple[str, ...] = ()  # ("GLIBC_2.38", "GLIBCXX_3.4.32") that the system's libraries do not have
    other_python: bool = False  # its name says that it is an extension module of another Python
    problem: str = ""  # why it could not be read


@dataclass(frozen=True)
class Extension:
    """One distribution with such libraries."""

    name: str  # normalised; of a library without a distribution the beginning of its file's name
    version: str = ""
    location: str = ""
    built_torch: str = (
        ""  # "2.8" or "2.8.0+cu128", where its files or its wheel's name tell what it was built for
    )
    built_cuda: str = ""  # "12" or "12.8"
    built_source: str = ""  # "cpp_lib.json"
    libraries: Tuple[ExtensionLibrary, ...] = ()


@dataclass(frozen=True)
class Extensions:
    """The compiled extensions on the search path, except those of torch, triton, bitsandbytes and NVIDIA's wheels."""

    depth: str = "all"  # "known": only those of well-known distributions were read
    compared: bool = False  # symbols were looked up in torch's libraries
    found: Tuple[Extension, ...] = ()
    glibc: str = ""  # "2.36", what the versions were compared with
    newest_libstdcxx: str = ""  # "GLIBCXX_3.4.30"
