"""What many rules ask of a snapshot: which GPUs, which torch, which interpreter; and how to name them in a title."""

from dataclasses import dataclass
from typing import List, Optional, Tuple

from envdoc.doctor.facts.snapshot import Driver, Gpu, Snapshot, TorchBuild
from envdoc.doctor.rules.registry import Skip
from envdoc.doctor.tables.gpu_names import capability_by_name, name_by_pci_id

NEW_ENVIRONMENT = ("envdoc fix --apply",)


@dataclass(frozen=True)
class Model:
    """GPUs of one name and capability."""

    name: str
    capability: str  # "" where nothing tells it
    count: int

    @property
    def sm(self) -> str:
        """`sm_90` for 9.0."""
        return "sm_" + self.capability.replace(".", "")


def shorten(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with an ellipsis where it is longer."""
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."


def gpu_name(gpu: Gpu) -> str:
    """The GPU's name, short enough for a title."""
    return shorten(gpu.name or f"GPU {gpu.index}", 24)


def models(machine: Snapshot) -> Tuple[Model, ...]:
    """The GPUs by name and capability: from NVML, or else from the PCI bus and the table of names."""
    found: List[Tuple[str, str]] = [
        (gpu_name(gpu), gpu.capability or capability_by_name(gpu.name) or "") for gpu in machine.gpus
    ]
    if not found:
        names = [name_by_pci_id(device.device_id) or "" for device in machine.pci_devices]
        found = [(name or "an NVIDIA GPU", capability_by_name(name) or "") for name in names]
    return tuple(
        Model(name, capability, found.count((name, capability))) for name, capability in dict.fromkeys(found)
    )


def judged_models(machine: Snapshot) -> Tuple[Model, ...]:
    """The models whose capability is known. Raises Skip where there is no GPU or none tells its capability."""
    known = tuple(model for model in require_gpu(machine) if model.capability)
    if not known:
        raise Skip("no GPU told its compute capability")
    return known


def require_gpu(machine: Snapshot) -> Tuple[Model, ...]:
    """The models. Raises Skip on a machine without an NVIDIA GPU."""
    found = models(machine)
    if not found:
        raise Skip("there is no NVIDIA GPU")
    return found


def chose_cpu(machine: Snapshot) -> bool:
    """True where torch is a CPU build: whoever installed it does not expect a GPU to be used."""
    return (
        machine.torch is not None
        and bool(machine.torch.version)
        and not (machine.torch.cuda or machine.torch.hip)
    )


def is_offline(machine: Snapshot) -> bool:
    """True where downloads from the hub are switched off (huggingface_hub, constants.py)."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(machine.variables.get(name, "").lower() in ("1", "on", "yes", "true") for name in names)


def require_working_driver(machine: Snapshot) -> None:
    """Raises Skip where no driver serves a GPU to this process; then that is the fault, and no build of torch is."""
    if not machine.gpus and not machine.driver.libcuda:
        raise Skip("no NVIDIA driver serves a GPU here, which the DRV rules judge")


def require_torch(machine: Snapshot) -> TorchBuild:
    """The torch that is installed and readable. Raises Skip otherwise."""
    if machine.torch is None or not machine.torch.version:
        raise Skip("no torch was found")
    return machine.torch


def require_cuda_torch(machine: Snapshot) -> Tuple[TorchBuild, str]:
    """torch and the CUDA that it was built for. Raises Skip for a build without CUDA."""
    torch = require_torch(machine)
    if not torch.cuda:
        raise Skip("torch is built without CUDA")
    return torch, torch.cuda


def require_interpreter(machine: Snapshot) -> None:
    """Raises Skip where the target interpreter could not be asked, so that nothing is known about its packages."""
    if machine.interpreter.error:
        raise Skip("the interpreter could not be asked")


def require_packages(machine: Snapshot) -> None:
    """Raises Skip where no installed distribution is known."""
    require_interpreter(machine)
    if not machine.packages:
        raise Skip("no installed packages were found")


def torch_name(torch: TorchBuild) -> str:
    """`torch 2.0.1+cu117`, cut for a title."""
    return "torch " + shorten(torch.version, 18)


def version_of(machine: Snapshot, name: str) -> Optional[str]:
    """The installed version of a package; torch's is read from version.py, which METADATA does not outrank."""
    if name == "torch" and machine.torch is not None and machine.torch.version:
        return machine.torch.version
    package = machine.package(name)
    return package.version if package is not None and package.version else None


def driver_version(driver: Driver) -> str:
    """The driver's version by whichever way told it; empty where none did."""
    return driver.version or driver.kernel_module_version or driver.nvml_version


def gigabytes(count: int) -> str:
    """`13.5 GB`, in powers of ten as disks are sold."""
    return f"{count / 1e9:.1f} GB"


def install_command(machine: Snapshot, arguments: str) -> str:
    """The command that installs into the target: by its own pip, or by uv where it has none."""
    python = machine.interpreter.path or "python3"
    if machine.interpreter.has_pip:
        return f"{python} -m pip install {arguments}"
    return f"uv pip install --python {python} {arguments}"


def uninstall_command(machine: Snapshot, names: str) -> str:
    """The command that removes packages from the target, likewise."""
    python = machine.interpreter.path or "python3"
    if machine.interpreter.has_pip:
        return f"{python} -m pip uninstall -y {names}"
    return f"uv pip uninstall --python {python} {names}"
