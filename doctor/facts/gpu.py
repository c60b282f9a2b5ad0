"""The GPUs, the NVIDIA devices on the PCI bus whether a driver serves them or not, and the device nodes."""

import os
import re
from typing import Any, Dict, Iterable, Tuple

from envdoc.doctor.facts.root import machine_path, read_line
from envdoc.doctor.facts.snapshot import DeviceNode, Gpu, GpuHealth, PciDevice

_NVIDIA = "0x10de"
_DISPLAY_CLASS = "0x03"  # 0x0300 VGA, 0x0302 3D controller: a GPU's audio and USB functions are others
_NODE = re.compile(r"nvidia(\d+|ctl|-uvm|-uvm-tools|-modeset)$")
# nvmlComputeMode_t, nvml.h of CUDA 13.0
_COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}


def gpus(told: Iterable[Dict[str, Any]]) -> Tuple[Gpu, ...]:
    """The GPUs as driver_child.py told them, in NVML's order (that of the PCI bus)."""
    return tuple(
        Gpu(
            **{
                **gpu,
                "compute_mode": _COMPUTE_MODES.get(gpu.get("compute_mode", -1), ""),
                "pci_address": short_address(gpu.get("pci_address", "")),
            }
        )
        for gpu in told
    )


def health(told: Iterable[Dict[str, Any]]) -> Tuple[GpuHealth, ...]:
    """The state of each GPU as driver_child.py told it."""
    return tuple(GpuHealth(**state) for state in told)


def short_address(address: str) -> str:
    """NVML's "00000000:3B:00.0" as /sys writes it, "0000:3b:00.0"."""
    domain, colon, rest = address.lower().partition(":")
    return domain[-4:] + colon + rest


def pci_devices() -> Tuple[PciDevice, ...]:
    """Every NVIDIA display device under /sys/bus/pci; empty where there is no PCI bus (WSL, most containers of it)."""
    try:
        folders = sorted(machine_path("/sys/bus/pci/devices").iterdir())
    except OSError:
        return ()
    devices = []
    for folder in folders:
        where = f"/sys/bus/pci/devices/{folder.name}"
        if read_line(f"{where}/vendor") != _NVIDIA:
            continue
        if read_line(f"{where}/class").startswith(_DISPLAY_CLASS):
            kernel_driver = folder / "driver"
            name = kernel_driver.resolve().name if kernel_driver.exists() else ""
            devices.append(PciDevice(folder.name, read_line(f"{where}/device"), name))
    return tuple(devices)


def device_nodes() -> Tuple[DeviceNode, ...]:
    """/dev/nvidia0, nvidiactl, nvidia-uvm and their like, and whether this user may open them."""
    try:
        nodes = sorted(node for node in machine_path("/dev").iterdir() if _NODE.match(node.name))
    except OSError:
        return ()
    return tuple(
        DeviceNode(f"/dev/{node.name}", os.access(node, os.R_OK), os.access(node, os.W_OK)) for node in nodes
    )
