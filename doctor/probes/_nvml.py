"""What NVML tells of a GPU while a probe runs: clocks and why they are low, power, temperature, the PCIe link, ECC.

Every value that a GPU or driver does not tell is left out. UUIDs and serial numbers are never read.
Signatures and numbers: NVIDIA's "NVML API Reference Guide" (nvml.h of CUDA 13.0).
"""

import ctypes
import os
from typing import Any, Dict, Optional

LIBRARIES = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
SM_CLOCK, MEMORY_CLOCK = 1, 2  # nvmlClockType_t
CORRECTED, UNCORRECTED, VOLATILE = 0, 1, 0  # nvmlMemoryErrorType_t, nvmlEccCounterType_t

# nvmlClocksEventReasons: why the clocks are lower than they could be. Idle (0x1) is no reason under load.
REASONS = {
    0x2: "application clocks set by the owner",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clock setting",
}

# key -> (function, arguments between the handle and the result)
NUMBERS = {
    "sm_clock_mhz": ("nvmlDeviceGetClockInfo", (SM_CLOCK,)),
    "sm_clock_max_mhz": ("nvmlDeviceGetMaxClockInfo", (SM_CLOCK,)),
    "memory_clock_mhz": ("nvmlDeviceGetClockInfo", (MEMORY_CLOCK,)),
    "memory_clock_max_mhz": ("nvmlDeviceGetMaxClockInfo", (MEMORY_CLOCK,)),
    "power_milliwatts": ("nvmlDeviceGetPowerUsage", ()),
    "power_limit_milliwatts": ("nvmlDeviceGetEnforcedPowerLimit", ()),
    "power_default_milliwatts": ("nvmlDeviceGetPowerManagementDefaultLimit", ()),
    "temperature_celsius": ("nvmlDeviceGetTemperature", (0,)),
    "pcie_generation": ("nvmlDeviceGetCurrPcieLinkGeneration", ()),
    "pcie_generation_max": ("nvmlDeviceGetMaxPcieLinkGeneration", ()),
    "pcie_width": ("nvmlDeviceGetCurrPcieLinkWidth", ()),
    "pcie_width_max": ("nvmlDeviceGetMaxPcieLinkWidth", ()),
}
WIDE_NUMBERS = {
    "reasons": ("nvmlDeviceGetCurrentClocksEventReasons", ()),
    "old_reasons": ("nvmlDeviceGetCurrentClocksThrottleReasons", ()),  # its name before driver 535
    "ecc_corrected": ("nvmlDeviceGetTotalEccErrors", (CORRECTED, VOLATILE)),
    "ecc_uncorrected": ("nvmlDeviceGetTotalEccErrors", (UNCORRECTED, VOLATILE)),
}


class _Utilization(ctypes.Structure):
    """nvmlUtilization_t, in percent of the last sample period."""

    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def start() -> Optional[ctypes.CDLL]:
    """NVML, ready to be asked; None where it is not here or does not start."""
    for name in [os.environ["ENVDOC_NVML_LIB"]] if os.environ.get("ENVDOC_NVML_LIB") else LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            return library if library.nvmlInit_v2() == 0 else None
        except (OSError, AttributeError):
            continue
    return None


def address(index: int) -> Optional[str]:
    """The PCI address of CUDA's device of that number: the two count differently. CUDA must be initialised."""
    buffer, device = ctypes.create_string_buffer(64), ctypes.c_int()
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        if cuda.cuDeviceGet(ctypes.byref(device), index) == 0 and (
            cuda.cuDeviceGetPCIBusId(buffer, 64, device) == 0
        ):
            return buffer.value.decode("ascii", "replace")
    except (OSError, AttributeError):
        pass
    return None


def look(nvml: Optional[ctypes.CDLL], where: Optional[str]) -> Dict[str, Any]:
    """What the GPU at that PCI address says of itself now; {} where nothing can be asked."""
    handle = ctypes.c_void_p()
    if nvml is None or where is None:
        return {}
    try:
        if nvml.nvmlDeviceGetHandleByPciBusId_v2(where.encode("ascii"), ctypes.byref(handle)) != 0:
            return {}
    except AttributeError:
        return {}
    seen: Dict[str, Any] = {}
    for kind, table in ((ctypes.c_uint, NUMBERS), (ctypes.c_ulonglong, WIDE_NUMBERS)):
        for key, (function, arguments) in table.items():
            value = kind()
            if _call(nvml, function, handle, *arguments, ctypes.byref(value)):
                seen[key] = int(value.value)
    old, bits = seen.pop("old_reasons", None), seen.pop("reasons", None)
    bits = old if bits is None else bits
    if bits is not None:
        seen["slowed_by"] = [words for bit, words in REASONS.items() if bits & bit]
    used, memory = _Utilization(), _Memory()
    if _call(nvml, "nvmlDeviceGetUtilizationRates", handle, ctypes.byref(used)):
        seen["utilization_percent"] = int(used.gpu)
    if _call(nvml, "nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory)):
        seen["memory_used_bytes"] = int(memory.used)
    return seen


def _call(nvml: ctypes.CDLL, function: str, *arguments: Any) -> bool:
    """True where that function is there and answered."""
    try:
        return bool(getattr(nvml, function)(*arguments) == 0)
    except AttributeError:  # an older NVML
        return False
