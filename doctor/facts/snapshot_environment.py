"""The branches of the snapshot that describe the target: its interpreter, its packages and their files."""

from typing import Optional, Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class Interpreter:
    """The target Python, as it describes itself in a child with a time limit."""

    path: str = ""
    version: str = ""  # "3.11.7"
    implementation: str = "CPython"
    prefix: str = ""
    base_prefix: str = ""
    is_virtual_environment: bool = False
    is_conda: bool = False
    system: str = ""  # platform.system(): "Linux"
    machine: str = ""  # "x86_64"
    site_packages: Tuple[str, ...] = ()
    sys_path: Tuple[str, ...] = ()
    user_site_enabled: bool = False
    user_site: str = ""
    has_pip: bool = False
    openssl_version: str = ""  # "OpenSSL 3.0.19 27 Jan 2026"
    missing_modules: Tuple[str, ...] = ()  # standard modules that this build lacks: ssl, lzma, ctypes...
    error: Optional[str] = None  # why it could not be asked; the rest is then empty
    search_path_error: str = ""  # why it does not start with PYTHONPATH and PYTHONHOME as they are


@dataclass(frozen=True)
class Package:
    """One *.dist-info, read as text. `name` is normalised (lower case, hyphens)."""

    name: str
    version: str = ""
    location: str = ""  # the folder that holds the dist-info
    requires: Tuple[str, ...] = ()  # Requires-Dist lines as written
    requires_python: str = ""
    installer: str = ""
    editable: bool = False
    module_version: str = ""  # from the package's own source, for the few whose version can disagree
    problem: str = ""  # why METADATA could not be read


@dataclass(frozen=True)
class FileFault:
    """An installed file that is not as its distribution's RECORD says."""

    path: str  # relative to the folder of the distribution
    problem: str  # "missing", "size" or "contents"
    recorded_bytes: int = 0
    found_bytes: int = 0
    breaks: bool = False  # code that is gone, empty, or a library that is cut short; else it was changed


@dataclass(frozen=True)
class Distribution:
    """One *.dist-info as its RECORD and WHEEL tell it. `name` and `version` are those of the folder's name."""

    name: str
    version: str = ""
    location: str = ""
    has_record: bool = True
    wheel_tags: Tuple[str, ...] = ()  # empty for a wheel without compiled code, and where there is no WHEEL
    files_checked: int = 0
    fault_count: int = 0
    faults: Tuple[FileFault, ...] = ()  # the worst of them
    lost_entries: Tuple[str, ...] = ()  # "peft/__init__.py", missing in a folder that is still there


@dataclass(frozen=True)
class SharedFiles:
    """Code files of one import name that two distributions in one folder both recorded."""

    import_name: str
    first: Tuple[str, str] = ("", "")  # name and version
    second: Tuple[str, str] = ("", "")
    count: int = 0
    examples: Tuple[str, ...] = ()


@dataclass(frozen=True)
class PthProblem:
    """A line of a .pth file that leads nowhere."""

    file: str
    package: str = ""  # the editable install that it belongs to, where its name tells
    target: str = ""  # the folder, or the line with the import
    problem: str = "folder"  # "folder": it is not there; "module": what the line imports is not there


@dataclass(frozen=True)
class Integrity:
    """Installed files against the RECORDs of their distributions."""

    depth: str = "sizes"  # "libraries" (those of the training stack), "sizes" or "contents" (of every file)
    distributions: Tuple[Distribution, ...] = ()
    shared: Tuple[SharedFiles, ...] = ()
    leftovers: Tuple[str, ...] = ()  # folders of well-known import names without owner and __init__.py
    pth_problems: Tuple[PthProblem, ...] = ()


@dataclass(frozen=True)
class TorchBuild:
    """torch read from its files: version.py is the only place that tells +cpu from +cu130."""

    version: str = ""  # "2.13.0+cpu"
    cuda: Optional[str] = None  # "13.0"; None for a build without CUDA
    hip: Optional[str] = None
    architectures: Tuple[str, ...] = ()  # ("sm_75", ..., "compute_90" for PTX); empty: not told
    location: str = ""
    problem: str = ""  # why the files could not be read


@dataclass(frozen=True)
class BitsandbytesLibrary:
    """One libbitsandbytes_*.so and the architectures in its fat binary."""

    file: str  # "libbitsandbytes_cuda130.so"
    backend: str  # "cuda", "cpu", "rocm", "xpu"
    cuda: str = ""  # "13.0"
    size_bytes: int = 0
    architectures: Tuple[str, ...] = ()


@dataclass(frozen=True)
class BitsandbytesBuild:
    """The libraries that the installed bitsandbytes ships."""

    version: str = ""
    location: str = ""
    libraries: Tuple[BitsandbytesLibrary, ...] = ()


@dataclass(frozen=True)
class TransformersBuild:
    """Soft constraints from transformers' own source, read as text."""

    version: str = ""
    dependency_table: Tuple[Tuple[str, str], ...] = ()  # (("peft", "peft>=0.20.0"), ...)
    torch_minimum: str = ""  # the version below which it disables torch without an exception


@dataclass(frozen=True)
class Kernel:
    """One Jupyter kernel spec."""

    name: str
    interpreter: str = ""  # argv[0]
    path: str = ""  # the kernel.json
    exists: Optional[bool] = (
        None  # whether that interpreter is there; None: not told, or a name without a folder
    )


@dataclass(frozen=True)
class Jupyter:
    """Whether Jupyter is in the target, which kernels are registered, and whether we run inside one."""

    version: str = ""
    inside: bool = False
    kernels: Tuple[Kernel, ...] = ()
    server_python: str = ""  # what `jupyter` on PATH runs on; it stands for `python` in a kernel spec
