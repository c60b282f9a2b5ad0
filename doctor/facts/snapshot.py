"""The snapshot: one frozen tree with everything that rules may know about a machine.

Every field has a default that means "not told", so that a snapshot of a machine where a collector failed, or
one from an older envdoc, still loads. JSON in and out are exact: `from_json(to_json(s)) == s`.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from envdoc.doctor.errors import SnapshotError
from envdoc.doctor.facts.codec import build
from envdoc.doctor.facts.surroundings import Surroundings

SCHEMA_VERSION = 1


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
class Driver:
    """The NVIDIA driver by every way that can tell, each as it answered."""

    version: str = ""  # "580.159.03"; empty: not found
    source: str = ""  # "/sys/module/nvidia/version", "nvml", ...
    cuda: str = ""  # the newest CUDA it serves, "13.0", from cuDriverGetVersion
    libcuda: str = ""  # path or soname that loaded; empty: none
    libcuda_error: str = ""
    cuda_init_code: Optional[int] = None  # result of cuInit: 0, 100 no device, 803, 804, 999
    nvml_error: str = ""
    nvml_version: str = ""  # driver version according to NVML
    kernel_module_version: str = ""  # according to /sys or /proc
    nvidia_smi: str = ""  # path
    is_open_kernel_module: Optional[bool] = None


@dataclass(frozen=True)
class Gpu:
    """One GPU as NVML (or, failing that, nvidia-smi) tells it. UUIDs are never kept."""

    index: int
    name: str = ""
    capability: str = ""  # "9.0"
    memory_bytes: int = 0
    memory_used_bytes: Optional[int] = None
    mig_enabled: Optional[bool] = None
    ecc_enabled: Optional[bool] = None
    ecc_uncorrected: Optional[int] = None
    pci_address: str = ""
    compute_mode: str = ""  # "default", "prohibited", "exclusive_process"


@dataclass(frozen=True)
class PciDevice:
    """An NVIDIA display device on the PCI bus, driver or not (vendor 0x10de, class 0x03)."""

    address: str
    device_id: str = ""
    kernel_driver: str = ""  # "nvidia", "nouveau", "vfio-pci" or "" for none


@dataclass(frozen=True)
class DeviceNode:
    """A /dev/nvidia* node and whether this user may open it."""

    path: str
    readable: bool = True
    writable: bool = True


@dataclass(frozen=True)
class Toolkit:
    """The CUDA toolkit (nvcc) that compilations would use, if any."""

    nvcc: str = ""
    version: str = ""  # "12.4"
    cuda_home: str = ""  # value of CUDA_HOME or CUDA_PATH
    cuda_home_exists: Optional[bool] = None
    host_compiler: str = ""  # path of cc or gcc
    host_compiler_version: str = ""


@dataclass(frozen=True)
class Storage:
    """A folder that a training run writes to."""

    purpose: str  # "home", "cache", "tmp", "work", "envdoc", "shm"
    path: str = ""
    exists: bool = False
    writable: Optional[bool] = None
    total_bytes: int = 0
    free_bytes: int = 0
    free_inodes: Optional[int] = None
    file_system: str = ""
    noexec: bool = False


@dataclass(frozen=True)
class Kernel:
    """One Jupyter kernel spec."""

    name: str
    interpreter: str = ""  # argv[0]


@dataclass(frozen=True)
class Jupyter:
    """Whether Jupyter is in the target, which kernels are registered, and whether we run inside one."""

    version: str = ""
    inside: bool = False
    kernels: Tuple[Kernel, ...] = ()


@dataclass(frozen=True)
class Host:
    """The operating system and what it grants to this process."""

    distribution: str = ""  # "Debian GNU/Linux 12 (bookworm)"
    kernel: str = ""
    glibc: str = ""  # "2.36"
    container: str = ""  # "docker", "podman", "kubernetes", "lxc" or "" for none seen
    is_wsl: bool = False
    cpu_count: int = 0
    cpu_limit: Optional[float] = (
        None  # processors' worth of time that the cgroup grants, where it sets a limit
    )
    memory_bytes: int = 0
    memory_limit_bytes: Optional[int] = None  # cgroup limit where one is set
    address_space_limit_bytes: Optional[int] = None  # RLIMIT_AS where one is set
    open_files_limit: Optional[int] = None
    locale_encoding: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """What a probe saw when it ran in the target, or how it ended."""

    name: str
    status: str  # "ran", "skipped", "crashed", "timeout", "signal"
    data: Dict[str, Any] = field(default_factory=dict)  # the JSON on its last line
    error: str = ""  # one line: an exception, a signal's name, the reason for skipping
    seconds: float = 0.0


@dataclass(frozen=True)
class Server:
    """What one server answered to `check --online`, and how fast; None where it was not measured."""

    purpose: str  # "index", "hub" or "git"
    url: str = ""  # without credentials
    source: str = ""  # who named it: "PIP_INDEX_URL", "pip's default", ...
    status: str = "skipped"  # "answered", "failed" or "skipped"
    stage: str = (
        ""  # where it failed: "proxy", "name", "connection", "certificate", "tls", "timeout" or "http"
    )
    error: str = ""  # why it failed or was skipped
    http_status: Optional[int] = None
    resolve_seconds: Optional[float] = None  # name resolution
    connect_seconds: Optional[float] = None  # TCP, with the proxy's part where there is one
    tls_seconds: Optional[float] = None
    latency_seconds: Optional[float] = None  # from a request to the first line of its answer
    bytes_per_second: Optional[float] = None  # one connection, from the request on
    measured_bytes: int = 0  # how much was fetched for that
    proxy: str = ""  # without credentials


@dataclass(frozen=True)
class Network:
    """What `check --online` measured; the one part of a snapshot for which the network is touched."""

    git: str = ""  # path of the program; empty: none
    servers: Tuple[Server, ...] = ()

    def server(self, purpose: str) -> Optional[Server]:
        """The server of that purpose, or None where none was asked."""
        return next((server for server in self.servers if server.purpose == purpose), None)


@dataclass(frozen=True)
class CollectorError:
    """A collector that failed; the rest of the snapshot stands."""

    collector: str
    message: str


@dataclass(frozen=True)
class Snapshot:
    """Everything that was found out about one machine and one interpreter at one time."""

    schema_version: int = SCHEMA_VERSION
    envdoc_version: str = ""
    taken_at: str = ""  # ISO 8601, UTC
    target_reason: str = ""
    interpreter: Interpreter = field(default_factory=Interpreter)
    packages: Tuple[Package, ...] = ()
    integrity: Optional[Integrity] = None  # None: not looked at
    torch: Optional[TorchBuild] = None
    bitsandbytes: Optional[BitsandbytesBuild] = None
    transformers: Optional[TransformersBuild] = None
    driver: Driver = field(default_factory=Driver)
    gpus: Tuple[Gpu, ...] = ()
    pci_devices: Tuple[PciDevice, ...] = ()
    device_nodes: Tuple[DeviceNode, ...] = ()
    toolkit: Toolkit = field(default_factory=Toolkit)
    variables: Dict[str, str] = field(default_factory=dict)
    storage: Tuple[Storage, ...] = ()
    host: Host = field(default_factory=Host)
    jupyter: Jupyter = field(default_factory=Jupyter)
    surroundings: Surroundings = field(default_factory=Surroundings)
    probes: Tuple[ProbeResult, ...] = ()
    network: Optional[Network] = None  # None: `check` ran without --online
    errors: Tuple[CollectorError, ...] = ()

    def package(self, name: str) -> Optional[Package]:
        """The first installed distribution of that normalised name on the search path, or None."""
        return next((package for package in self.packages if package.name == name), None)

    def probe(self, name: str) -> Optional[ProbeResult]:
        """The result of the probe of that name, or None where it was not run."""
        return next((probe for probe in self.probes if probe.name == name), None)

    def storage_for(self, purpose: str) -> Optional[Storage]:
        """The folder of that purpose, or None where it was not looked at."""
        return next((place for place in self.storage if place.purpose == purpose), None)

    def to_json(self) -> str:
        """The snapshot as indented JSON with a closing newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Snapshot:
    """The snapshot that `to_json` wrote.

    Unknown keys are passed over (a newer envdoc of the same schema may add some). Raises SnapshotError where the
    text is no JSON, is no snapshot, has a field of the wrong type, or a newer schema than this envdoc reads.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise SnapshotError(
            f"The snapshot is not JSON: {error}.", "Make one with `envdoc facts -o FILE`."
        ) from error
    if not isinstance(raw, dict) or "schema_version" not in raw:
        raise SnapshotError(
            "The file is JSON but no envdoc snapshot.", "Make one with `envdoc facts -o FILE`."
        )
    version = raw["schema_version"]
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise SnapshotError(
            f"The snapshot has schema_version {version}; this envdoc reads up to {SCHEMA_VERSION}.",
            "Read it with the envdoc that wrote it, or a newer one.",
        )
    return build(Snapshot, raw, "snapshot")
