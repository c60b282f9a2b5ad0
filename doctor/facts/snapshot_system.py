"""The branches of the snapshot about the driver's files, the GPUs' health, limits, and what variables name."""

from dataclasses import field
from typing import Dict, Optional, Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class DriverLibrary:
    """One of the driver's own libraries where it is looked for, by its soname."""

    path: str  # "/usr/lib/x86_64-linux-gnu/libcuda.so.1"
    version: str = ""  # "580.95.05", from the name of the file that it leads to; empty: the name tells none
    exists: bool = True  # False for a link that leads nowhere and for an empty file


@dataclass(frozen=True)
class DriverFiles:
    """The driver's two halves as files: libraries, the module for this kernel, and what opens the way to them."""

    libraries: Tuple[DriverLibrary, ...] = ()
    kernels_with_module: Tuple[str, ...] = ()  # of /lib/modules; looked at only where no module is loaded
    has_module: Optional[bool] = None  # for the running kernel; None: not looked at
    secure_boot: Optional[bool] = None
    control_error: str = ""  # why /dev/nvidiactl could not be opened: "EPERM"
    has_dxg: Optional[bool] = None  # /dev/dxg, WSL's way to the GPU
    in_loader_cache: Optional[bool] = None  # whether ldconfig's cache names libcuda.so.1
    has_ldconfig: Optional[bool] = None  # /sbin/ldconfig, which triton runs
    visible_unmatched: Tuple[
        int, ...
    ] = ()  # places in CUDA_VISIBLE_DEVICES of GPU-... and MIG-... that name none


@dataclass(frozen=True)
class GpuHealth:
    """What NVML tells of one GPU's state; None where the GPU or the driver does not tell it."""

    index: int
    temperature_celsius: Optional[int] = None
    slowdown_celsius: Optional[int] = None  # from here on the hardware slows down
    power_limit_watts: Optional[float] = None
    power_default_watts: Optional[float] = None
    slowed_by: Tuple[str, ...] = ()  # "thermal", "power brake", "hardware"
    remap_pending: Optional[bool] = None  # rows of memory that are exchanged at the next reset
    remap_failed: Optional[bool] = None
    retirement_pending: Optional[bool] = None  # pages, before Ampere
    mig_memory_bytes: Optional[Tuple[int, ...]] = None  # of each MIG instance


@dataclass(frozen=True)
class System:
    """Limits and properties of the operating system beyond `Host`."""

    limits: Dict[str, int] = field(
        default_factory=dict
    )  # finite soft limits by name: "fsize", "cpu", "stack"
    libc: str = ""  # "glibc" or "musl"
    cpu_model: str = ""
    cpu_flags: Optional[Tuple[str, ...]] = None  # of those that libraries are compiled for; None: not told
    memory_available_bytes: Optional[int] = None  # to this process: of the machine or of its control group
    huge_pages_bytes: int = 0  # taken from memory and of no use to a training run
    overcommit_memory: Optional[int] = None
    commit_left_bytes: Optional[int] = None  # CommitLimit - Committed_AS
    processes_left: Optional[int] = None  # pids.max - pids.current of the control group
    network_interfaces: Tuple[str, ...] = ()
    has_cpp_runtime: Optional[bool] = None  # whether the loader finds libstdc++.so.6
    user_id: Optional[int] = None
    home_owner_id: Optional[int] = None
    foreign_cache_entries: int = 0  # of the hub's cache: closed to this user, and somebody else's
    unwritable_devices: Tuple[str, ...] = ()  # of /dev/null and the like: not a device, or closed


@dataclass(frozen=True)
class NamedPath:
    """A variable that names a file or folder, and what is wrong with that."""

    variable: str
    problem: str  # "missing", "not a file", "not a folder", "closed" (cannot be written or made), "noexec"
    path: str = ""


@dataclass(frozen=True)
class NamedThings:
    """What variables name, looked up; of secrets the shape alone."""

    paths: Tuple[NamedPath, ...] = ()  # only those with a problem
    token_shapes: Tuple[Tuple[str, str], ...] = ()  # ("HF_TOKEN", "quoted"); sound ones are left out
