"""What lies around the environment and may reach into it: fields of the snapshot, filled by several collectors."""

from dataclasses import field
from typing import Dict, Optional, Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class Shadow:
    """A file or folder that an import takes instead of an installed or standard module of the same name."""

    module: str  # "datasets", as imported
    path: str  # the file or folder that is in the way
    hides: str  # the file or folder that would be imported without it
    origin: str  # "working folder", "PYTHONPATH" or "user site"
    is_standard: bool = False  # what it hides belongs to Python itself
    version: str = ""  # where the shadow's own source names one


@dataclass(frozen=True)
class StrayLibrary:
    """A library of CUDA, cuDNN or NCCL that a variable of the dynamic loader brings in from outside."""

    path: str
    variable: str  # "LD_LIBRARY_PATH" or "LD_PRELOAD"
    exists: bool = True


@dataclass(frozen=True)
class CondaEnvironment:
    """The conda environment that CONDA_PREFIX names, by the files in its conda-meta."""

    prefix: str
    packages: Tuple[Tuple[str, str], ...] = ()  # ("numpy", "1.24.0"); only those that a training run uses


@dataclass(frozen=True)
class AccelerateConfig:
    """The flat `key: value` lines of accelerate's default configuration, and of those below a key the file names."""

    path: str
    values: Dict[str, str] = field(default_factory=dict)
    keys: Tuple[str, ...] = ()  # every key of the first level, those of mappings too
    known_keys: Tuple[str, ...] = ()  # of the installed accelerate, from its source; empty: not told
    problem: str = ""  # why it is no configuration: "it is empty", "line 3 begins with a tab"
    missing_files: Tuple[str, ...] = ()  # "deepspeed_config_file: /path", of files that are not there


@dataclass(frozen=True)
class Surroundings:
    """Everything of this file at once; empty fields mean "nothing there" or "not told"."""

    working_folder: str = ""
    shadows: Tuple[Shadow, ...] = ()
    stray_libraries: Tuple[StrayLibrary, ...] = ()
    conda: Optional[CondaEnvironment] = None
    pip: str = ""  # the first pip on PATH
    pip_python: str = ""  # the interpreter that it runs, from its first lines; empty where they do not tell
    path_python: str = ""  # the first python (or python3) on PATH
    variable_names: Tuple[str, ...] = ()  # names only, and only those with a prefix of the libraries
    accelerate: Optional[AccelerateConfig] = None
    packages_changed_at: str = ""  # ISO 8601, UTC: half of the installed distributions are newer than this
    has_python_headers: Optional[bool] = None
    processes_limit: Optional[int] = None  # RLIMIT_NPROC where one is set
    cpu_quota: Optional[float] = (
        None  # processors' worth of time that the control group grants, where it limits
    )
