"""Stand-alone script: ask libcuda and NVML in a process that may crash or hang without harm.

Started as `PYTHON -I -S driver_child.py SECONDS` and never imported. Each line on stdout is the literal of a pair
(key, value), flushed at once, so that what was learned stays when a later call never returns. What can hang comes
last: nvmlInit_v2 after cuDriverGetVersion, which needs no cuInit, and cuInit after everything else.

Signatures, structures and numbers: NVIDIA's "NVML API Reference Guide" and cuda.h of CUDA 13.0. What this prints
was compared with nvidia-smi and torch on an H200 with driver 580.159.04 on 2026-11-24.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

LIBCUDA = ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1")
NVML = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
UNCORRECTED, VOLATILE = 1, 0  # nvmlMemoryErrorType_t, nvmlEccCounterType_t
SLOWDOWN = 1  # nvmlTemperatureThresholds_t
# nvmlClocksEventReason*: what slows a GPU down from outside. Idle, power cap and settings are as they should be.
SLOWED_BY = ((0x40, "thermal"), (0x80, "power brake"))


class Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Memory2(ctypes.Structure):
    """nvmlMemory_v2_t, in bytes; unlike the first, it does not count the driver's own reserve as used."""

    _fields_ = [
        ("version", ctypes.c_uint),
        *((name, ctypes.c_ulonglong) for name in ("total", "reserved", "free", "used")),
    ]


class Pci(ctypes.Structure):
    """nvmlPciInfo_t as nvmlDeviceGetPciInfo_v3 fills it."""

    _fields_ = [
        ("bus_id_legacy", ctypes.c_char * 16),
        *((name, ctypes.c_uint) for name in ("domain", "bus", "device", "pci_device_id", "pci_subsystem_id")),
        ("bus_id", ctypes.c_char * 32),
    ]


def tell(key: str, value: object) -> None:
    """One line; os.write, because a crash in C would take Python's buffer along."""
    os.write(1, (ascii((key, value)) + "\n").encode("ascii"))


def load(variable: str, names: tuple[str, ...], key: str) -> ctypes.CDLL | None:
    """The first library that loads (the one that `variable` names, where it is set), or None with its error told."""
    errors = []
    for name in [os.environ[variable]] if os.environ.get(variable) else names:
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            errors.append(str(error))
            continue
        tell(key, mapped_path(name))
        return library
    tell(key + "_error", errors[0])
    return None


def mapped_path(name: str) -> str:
    """The file behind a soname, from this process's own map; the soname where the map does not tell."""
    if os.sep in name:
        return name
    stem = name.split(".so")[0] + ".so"
    try:
        with open("/proc/self/maps", errors="replace") as maps:  # noqa: PTH123
            paths = [line.split(None, 5)[5].strip() for line in maps if line.count("/") > 1]
    except OSError:
        return name
    return next((path for path in paths if os.path.basename(path).startswith(stem)), name)  # noqa: PTH119


def ask_cuda_version(cuda: ctypes.CDLL) -> None:
    """cuDriverGetVersion: 13000 for CUDA 13.0."""
    number = ctypes.c_int()
    code = cuda.cuDriverGetVersion(ctypes.byref(number))
    if code == 0:
        tell("cuda", number.value)
    else:
        tell("libcuda_error", f"cuDriverGetVersion returned {code}")


def ask_nvml(nvml: ctypes.CDLL) -> int:
    """The driver version and every GPU; how many there are."""
    tell("step", "nvmlInit_v2")
    code = nvml.nvmlInit_v2()
    if code != 0:
        tell("nvml_error", f"nvmlInit_v2 returned {code} ({error_text(nvml, code)})")
        return 0
    tell("step", "NVML")
    buffer = ctypes.create_string_buffer(96)
    if nvml.nvmlSystemGetDriverVersion(buffer, 80) == 0:
        tell("nvml_version", buffer.value.decode("ascii", "replace"))
    number = ctypes.c_int()
    if nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(number)) == 0:
        tell("nvml_cuda", number.value)
    count = ctypes.c_uint()
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return 0
    for index in range(count.value):
        ask_gpu(nvml, index)
    uuids: list[str] = []
    for index in range(count.value):
        uuids += ask_health(nvml, index)
    tell_unmatched(os.environ.get("CUDA_VISIBLE_DEVICES", ""), uuids)
    return count.value


def error_text(nvml: ctypes.CDLL, code: int) -> str:
    """NVML's own words for a code, "Driver/library version mismatch"."""
    nvml.nvmlErrorString.restype = ctypes.c_char_p
    return (nvml.nvmlErrorString(code) or b"").decode("ascii", "replace")


def ask_gpu(nvml: ctypes.CDLL, index: int) -> None:
    """One GPU; a call that it does not support (ECC on a GeForce, MIG before Ampere) leaves its key out."""
    handle = ctypes.c_void_p()
    code = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    if code != 0:
        tell("gpu", {"index": index})
        tell("nvml_error", f"GPU {index} returned {code} ({error_text(nvml, code)})")
        return
    gpu: dict[str, object] = {"index": index}

    def call(name: str, *arguments: object) -> bool:
        try:
            return bool(getattr(nvml, name)(handle, *arguments) == 0)
        except AttributeError:  # an older NVML
            return False

    name = ctypes.create_string_buffer(96)
    if call("nvmlDeviceGetName", name, 96):
        gpu["name"] = name.value.decode("utf-8", "replace")
    first, second = ctypes.c_int(), ctypes.c_int()
    if call("nvmlDeviceGetCudaComputeCapability", ctypes.byref(first), ctypes.byref(second)):
        gpu["capability"] = f"{first.value}.{second.value}"
    memory, newer = Memory(), Memory2(version=ctypes.sizeof(Memory2) | 2 << 24)
    if call("nvmlDeviceGetMemoryInfo_v2", ctypes.byref(newer)):  # since driver 510
        gpu["memory_bytes"], gpu["memory_used_bytes"] = newer.total, newer.used
    elif call("nvmlDeviceGetMemoryInfo", ctypes.byref(memory)):
        gpu["memory_bytes"], gpu["memory_used_bytes"] = memory.total, memory.used
    if call("nvmlDeviceGetMigMode", ctypes.byref(first), ctypes.byref(second)):
        gpu["mig_enabled"] = first.value == 1
    if call("nvmlDeviceGetEccMode", ctypes.byref(first), ctypes.byref(second)):
        gpu["ecc_enabled"] = first.value == 1
    errors = ctypes.c_ulonglong()
    if call("nvmlDeviceGetTotalEccErrors", UNCORRECTED, VOLATILE, ctypes.byref(errors)):
        gpu["ecc_uncorrected"] = errors.value
    if call("nvmlDeviceGetComputeMode", ctypes.byref(first)):
        gpu["compute_mode"] = first.value
    pci = Pci()
    if call("nvmlDeviceGetPciInfo_v3", ctypes.byref(pci)):
        gpu["pci_address"] = pci.bus_id.decode("ascii", "replace")
    tell("gpu", gpu)


def ask_health(nvml: ctypes.CDLL, index: int) -> list[str]:
    """The state of one GPU; the UUIDs of it and of its MIG instances, which leave this process only as a comparison."""
    handle = ctypes.c_void_p()
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
        return []

    def call(name: str, *arguments: object, device: ctypes.c_void_p = handle) -> bool:
        try:
            return bool(getattr(nvml, name)(device, *arguments) == 0)
        except AttributeError:
            return False

    health: dict[str, object] = {"index": index}
    number, other = ctypes.c_uint(), ctypes.c_uint()
    if call("nvmlDeviceGetTemperature", 0, ctypes.byref(number)):
        health["temperature_celsius"] = number.value
    if call("nvmlDeviceGetTemperatureThreshold", SLOWDOWN, ctypes.byref(number)):
        health["slowdown_celsius"] = number.value
    if call("nvmlDeviceGetEnforcedPowerLimit", ctypes.byref(number)):
        health["power_limit_watts"] = number.value / 1000
    if call("nvmlDeviceGetPowerManagementDefaultLimit", ctypes.byref(number)):
        health["power_default_watts"] = number.value / 1000
    reasons = ctypes.c_ulonglong()
    # The second is its name before driver 535.
    names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    if any(call(name, ctypes.byref(reasons)) for name in names):
        health["slowed_by"] = tuple(name for bit, name in SLOWED_BY if reasons.value & bit)
    rows = [ctypes.c_uint() for _ in range(4)]
    if call("nvmlDeviceGetRemappedRows", *(ctypes.byref(row) for row in rows)):
        health["remap_pending"], health["remap_failed"] = bool(rows[2].value), bool(rows[3].value)
    elif call("nvmlDeviceGetRetiredPagesPendingStatus", ctypes.byref(number)):
        health["retirement_pending"] = number.value == 1
    uuid, uuids = ctypes.create_string_buffer(96), []
    if call("nvmlDeviceGetUUID", uuid, 96):
        uuids.append(uuid.value.decode("ascii", "replace"))
    if call("nvmlDeviceGetMigMode", ctypes.byref(number), ctypes.byref(other)) and number.value == 1:
        sizes = []
        most = call("nvmlDeviceGetMaxMigDeviceCount", ctypes.byref(number))
        for slot in range(number.value if most else 0):
            part, memory = ctypes.c_void_p(), Memory()
            if not call("nvmlDeviceGetMigDeviceHandleByIndex", slot, ctypes.byref(part)):
                continue
            if call("nvmlDeviceGetMemoryInfo", ctypes.byref(memory), device=part):
                sizes.append(memory.total)
            if call("nvmlDeviceGetUUID", uuid, 96, device=part):
                uuids.append(uuid.value.decode("ascii", "replace"))
        if most:
            health["mig_memory_bytes"] = tuple(sizes)
    tell("health", health)
    return uuids


def tell_unmatched(visible: str, uuids: list[str]) -> None:
    """The places in CUDA_VISIBLE_DEVICES of names with which no UUID begins (an abbreviation is enough for CUDA)."""
    entries = [entry.strip() for entry in visible.split(",")]
    named = [
        (place, entry)
        for place, entry in enumerate(entries)
        if entry.startswith(("GPU-", "MIG-")) and not entry.startswith("MIG-GPU-")
    ]
    if uuids:
        tell("unmatched", tuple(p for p, name in named if not any(u.startswith(name) for u in uuids)))


def ask_cuda_gpus(cuda: ctypes.CDLL) -> None:
    """The GPUs that CUDA sees, for containers that were given libcuda but not NVML ("compute" without "utility")."""
    count = ctypes.c_int()
    if cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return
    for index in range(count.value):
        gpu: dict[str, object] = {"index": index}
        buffer, memory = ctypes.create_string_buffer(96), ctypes.c_size_t()
        first, second = ctypes.c_int(), ctypes.c_int()
        if cuda.cuDeviceGetName(buffer, 96, index) == 0:
            gpu["name"] = buffer.value.decode("utf-8", "replace")
        if cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), index) == 0:
            gpu["memory_bytes"] = memory.value
        codes = [
            cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, index)
            for number, attribute in ((first, CAPABILITY_MAJOR), (second, CAPABILITY_MINOR))
        ]
        if codes == [0, 0]:
            gpu["capability"] = f"{first.value}.{second.value}"
        if cuda.cuDeviceGetPCIBusId(buffer, 96, index) == 0:
            gpu["pci_address"] = buffer.value.decode("ascii", "replace")
        tell("gpu", gpu)


def main() -> None:
    """Ask everything, the dangerous last; SIGALRM ends this process should nobody else do so."""
    signal.alarm(int(float(sys.argv[1])) + 1)
    tell("step", "loading libcuda")
    cuda = load("ENVDOC_LIBCUDA", LIBCUDA, "libcuda")
    try:
        if cuda is not None:
            tell("step", "cuDriverGetVersion")
            ask_cuda_version(cuda)
    except AttributeError as error:
        tell("libcuda_error", str(error))
        cuda = None
    tell("step", "loading NVML")
    nvml, seen = load("ENVDOC_NVML_LIB", NVML, "nvml"), 0
    try:
        if nvml is not None:
            seen = ask_nvml(nvml)
    except AttributeError as error:
        tell("nvml_error", str(error))
    if cuda is not None:
        tell("step", "cuInit")
        code = cuda.cuInit(0)
        tell("cuda_init_code", code)
        if code == 0 and not seen:
            tell("step", "asking libcuda for the GPUs")
            ask_cuda_gpus(cuda)
    tell("step", "")


if __name__ == "__main__":
    main()
