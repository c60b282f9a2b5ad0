"""Rules about the NVIDIA driver: is there one, and does it answer. How new it is: driver_age.py."""

from typing import List, Tuple

from envdoc.doctor.facts.snapshot import Host, PciDevice, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.driver_files import STUB, foreign_libcuda, lost_devices
from envdoc.doctor.rules.gpu import hidden_by_variable
from envdoc.doctor.rules.machine import chose_cpu, driver_version, models, require_gpu, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.gpu_names import name_by_pci_id

# cuInit's answers (NVIDIA CUDA Driver API, CUresult).
NO_DEVICE, NOT_READY, MISMATCH, COMPAT_REFUSED = 100, 802, 803, 804


@rule("DRV001")
def driver_missing(machine: Snapshot) -> List[Problem]:
    """A GPU on the PCI bus and no driver of NVIDIA's or anybody's that holds it."""
    if not machine.pci_devices:
        raise Skip("no NVIDIA GPU was seen on the PCI bus")
    if driver_version(machine.driver) or any(_other_driver(device) for device in machine.pci_devices):
        return []
    return [
        Problem(
            {"gpu": _capitalised(models(machine)[0].name), "hint": _missing_hint(machine)},
            evidence=tuple(map(_seen, machine.pci_devices)),
            affects=("torch", "bitsandbytes"),
            severity=Severity.WARNING if chose_cpu(machine) else None,
            commands=_missing_commands(machine),
        )
    ]


@rule("DRV002")
def other_driver_bound(machine: Snapshot) -> List[Problem]:
    """A GPU that nouveau, or a virtual machine's vfio-pci, holds instead of NVIDIA's driver."""
    if not machine.pci_devices:
        raise Skip("no NVIDIA GPU was seen on the PCI bus")
    held = [device for device in machine.pci_devices if _other_driver(device)]
    if not held:
        return []
    name = name_by_pci_id(held[0].device_id) or "The NVIDIA GPU"
    usable = any(device.kernel_driver == "nvidia" for device in machine.pci_devices)
    return [
        Problem(
            {"gpu": name, "driver": held[0].kernel_driver},
            evidence=tuple(map(_seen, held)),
            affects=("torch", "bitsandbytes"),
            severity=Severity.WARNING if usable or chose_cpu(machine) else Severity.ERROR,
            commands=install_commands(machine.host) if held[0].kernel_driver == "nouveau" else (),
        )
    ]


@rule("DRV003")
def driver_library_missing(machine: Snapshot) -> List[Problem]:
    """The kernel module is loaded, and no libcuda can be: the usual face of a container without the GPU's libraries."""
    require_gpu(machine)
    driver = machine.driver
    if not driver.kernel_module_version:
        raise Skip("no NVIDIA kernel module is loaded")
    if driver.libcuda or not driver.libcuda_error:
        return []
    where = f"in this {machine.host.container} container" if machine.host.container else "on this machine"
    return [
        Problem(
            {"driver": driver.kernel_module_version, "where": where, "error": driver.libcuda_error},
            evidence=(driver.libcuda_error,),
            affects=("torch", "bitsandbytes"),
            severity=Severity.INFO if chose_cpu(machine) and machine.host.container else None,
            commands=() if machine.host.container else install_commands(machine.host),
        )
    ]


@rule("DRV004")
def driver_library_mismatch(machine: Snapshot) -> List[Problem]:
    """The kernel module and the libraries are of different driver versions: an update without a reboot."""
    driver = machine.driver
    differ = bool(driver.nvml_version and driver.kernel_module_version) and (
        driver.nvml_version != driver.kernel_module_version
    )
    evidence: Tuple[str, ...] = ()
    if "mismatch" in driver.nvml_error.lower():
        evidence += (f"NVML: {driver.nvml_error}",)
    if driver.cuda_init_code == MISMATCH:
        evidence += ("cuInit: 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",)
    if differ:
        evidence += (f"kernel module {driver.kernel_module_version}, NVML {driver.nvml_version}",)
    if not evidence or foreign_libcuda(machine):  # the latter is DRV021's, with another remedy
        return _passed_if_asked(machine)
    loaded = driver.kernel_module_version or driver_version(driver) or "of another version"
    return [Problem({"loaded": loaded}, evidence=evidence, affects=("torch", "bitsandbytes"))]


@rule("DRV005")
def cuda_finds_no_device(machine: Snapshot) -> List[Problem]:
    """cuInit says that there is no device although there is one."""
    found = require_gpu(machine)
    if hidden_by_variable(machine):
        raise Skip("CUDA_VISIBLE_DEVICES hides GPUs, which GPU002 judges")
    if any(gpu.mig_enabled for gpu in machine.gpus):
        raise Skip("MIG is on, which GPU003 judges")
    if machine.driver.cuda_init_code != NO_DEVICE or lost_devices(machine) or foreign_libcuda(machine):
        return _passed_if_asked(machine)
    evidence = ("cuInit: 100, CUDA_ERROR_NO_DEVICE",)
    return [Problem({"gpu": found[0].name}, evidence=evidence, affects=("torch", "bitsandbytes"))]


@rule("DRV006")
def forward_compatibility_refused(machine: Snapshot) -> List[Problem]:
    """A forward-compatibility libcuda on a GPU that NVIDIA does not offer it for: 804 alone says so."""
    found = models(machine)
    if machine.driver.cuda_init_code != COMPAT_REFUSED:
        return _passed_if_asked(machine)
    evidence = [
        "cuInit: 804, CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        f"libcuda: {machine.driver.libcuda}",
    ]
    evidence += [f"{name}={value}" for name, value in machine.variables.items() if name == "LD_LIBRARY_PATH"]
    values = {
        "gpu": found[0].name if found else "this GPU",
        "driver": driver_version(machine.driver) or "unknown",
    }
    return [Problem(values, evidence=tuple(evidence), affects=("torch", "bitsandbytes"))]


@rule("DRV007")
def cuda_init_failed(machine: Snapshot) -> List[Problem]:
    """cuInit failed in a way that no other rule explains; 999 is the common one."""
    require_gpu(machine)
    driver = machine.driver
    code: object = driver.cuda_init_code
    if code is None and driver.libcuda and driver.libcuda_error:  # it hung, or took its process along
        code = shorten(driver.libcuda_error.replace("cuInit ", ""), 28)
    elif code in (None, 0, NO_DEVICE, NOT_READY, MISMATCH, COMPAT_REFUSED, STUB):
        return _passed_if_asked(machine)
    if lost_devices(machine) or foreign_libcuda(machine):
        raise Skip("DRV020 or DRV021 knows why")
    values = {"code": code, "driver": driver_version(driver) or "unknown"}
    evidence = tuple(filter(None, (f"cuInit: {code}", driver.libcuda_error)))
    return [Problem(values, evidence=evidence, affects=("torch", "bitsandbytes"))]


@rule("DRV008")
def fabric_manager_missing(machine: Snapshot) -> List[Problem]:
    """cuInit says that the system is not ready: the NVSwitch fabric of an HGX machine has no manager."""
    found = models(machine)
    if machine.driver.cuda_init_code != NOT_READY:
        return _passed_if_asked(machine)
    version = driver_version(machine.driver)
    branch = version.split(".")[0] or "BRANCH"
    values = {
        "gpu": found[0].name if found else "GPUs",
        "count": sum(model.count for model in found) or "Some",
        "branch": branch,
    }
    return [Problem(values, evidence=("cuInit: 802, CUDA_ERROR_SYSTEM_NOT_READY",), affects=("torch",))]


@rule("DRV009")
def device_nodes(machine: Snapshot) -> List[Problem]:
    """The /dev/nvidia* nodes are missing or closed to this user, and CUDA does not start."""
    require_gpu(machine)
    driver = machine.driver
    if not driver.kernel_module_version or machine.host.is_wsl:
        raise Skip("no NVIDIA kernel module is loaded, or GPUs are reached in another way (WSL)")
    if not driver.libcuda:
        raise Skip("libcuda does not load, which DRV003 judges")
    if driver.cuda_init_code == 0:  # nvidia-modprobe makes missing nodes when the first CUDA program starts
        return []
    closed = [node.path for node in machine.device_nodes if not (node.readable and node.writable)]
    if closed:
        values = {"what": closed[0] + " is closed to this user", "driver": driver.kernel_module_version}
        return [Problem(values, evidence=tuple(closed), affects=("torch",))]
    if driver.cuda_init_code is None:
        return []
    present = {node.path for node in machine.device_nodes}
    missing = [path for path in ("/dev/nvidiactl", "/dev/nvidia-uvm") if path not in present]
    if not missing:
        return []
    values = {"what": " and ".join(missing) + " missing", "driver": driver.kernel_module_version}
    return [
        Problem(values, evidence=(f"present: {', '.join(sorted(present)) or 'none'}",), affects=("torch",))
    ]


@rule("DRV013")
def nvml_silent(machine: Snapshot) -> List[Problem]:
    """A loaded driver whose management library does not answer, or that has lost a GPU."""
    driver = machine.driver
    if not driver.kernel_module_version:
        raise Skip("no NVIDIA kernel module is loaded")
    if not driver.nvml_error or "mismatch" in driver.nvml_error.lower():  # a mismatch is DRV004
        return []
    if lost_devices(machine):
        raise Skip("the container may not open the devices, which DRV020 judges")
    lost = "lost" in driver.nvml_error.lower()
    values = {
        "driver": driver.kernel_module_version,
        "effect": "has lost a GPU" if lost else "does not answer through NVML",
        "error": driver.nvml_error,
    }
    severity = Severity.ERROR if lost else Severity.WARNING
    return [Problem(values, evidence=(driver.nvml_error,), affects=("nvidia-smi",), severity=severity)]


def install_commands(host: Host) -> Tuple[str, ...]:
    """How this distribution installs NVIDIA's driver; empty in a container, where the host's driver is used."""
    if host.container or host.is_wsl:
        return ()
    distribution = host.distribution.lower()
    if "ubuntu" in distribution:
        return ("sudo ubuntu-drivers install --gpgpu", "sudo reboot")
    if "debian" in distribution:
        return ("sudo apt-get install -y nvidia-driver", "sudo reboot")
    return ()


def _missing_hint(machine: Snapshot) -> str:
    """What the files say about why: a container, a module for other kernels, a module that was not loaded."""
    if machine.host.container:
        return " This is a container: the driver belongs on its host, and the container is started with `--gpus all`."
    files, kernel = machine.driver_files, machine.host.kernel
    if files.has_module and files.secure_boot:
        return (
            f" The module is there for kernel {kernel} and not loaded, and Secure Boot is on: it refuses modules whose "
            "key was not enrolled (`mokutil --list-enrolled`, `sudo dmesg | grep -i nvidia`)."
        )
    if files.has_module:
        return f" The module is there for kernel {kernel} and is not loaded."
    if files.kernels_with_module:
        return (
            f" The module is there for kernel {files.kernels_with_module[-1]} and not for {kernel}, which runs: the "
            "kernel was updated without it. Build it for this one, or boot the other."
        )
    return ""


def _missing_commands(machine: Snapshot) -> Tuple[str, ...]:
    files = machine.driver_files
    if machine.host.container:
        return ()
    if files.has_module:
        return ("sudo modprobe nvidia",)
    if files.kernels_with_module:
        return (
            "sudo apt-get install -y linux-headers-$(uname -r)",
            "sudo dkms autoinstall",
            "sudo modprobe nvidia",
        )
    return install_commands(machine.host)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _passed_if_asked(machine: Snapshot) -> List[Problem]:
    if machine.driver.cuda_init_code is None:
        raise Skip("CUDA was not asked (no libcuda, or a quick check)")
    return []


def _other_driver(device: PciDevice) -> bool:
    return device.kernel_driver not in ("", "nvidia")


def _seen(device: PciDevice) -> str:
    name = name_by_pci_id(device.device_id) or f"device {device.device_id or 'unknown'}"
    return f"{device.address}: {name}, kernel driver {device.kernel_driver or 'none'}"
