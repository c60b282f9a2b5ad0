"""The branches of the snapshot that describe the driver, the GPUs and the CUDA toolkit."""

from typing import Optional

from envdoc.doctor.frozen import dataclass


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
    home_has_nvcc: Optional[bool] = None  # whether cuda_home holds bin/nvcc; None where it is not set
