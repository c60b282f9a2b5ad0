"""Rules about the driver's libraries as files: which libcuda is taken, of which version, and by what it is replaced."""

import re
from collections import defaultdict
from typing import Dict, List, Optional, Set, Tuple

from envdoc.doctor.facts.snapshot import DriverLibrary, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import chose_cpu, require_gpu, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.versions import numbers

_VERSION = re.compile(r"\.so\.(\d{3,4}\.\d+(?:\.\d+)?)$")
STUB = 34  # cuInit: CUDA_ERROR_STUB_LIBRARY
NVML_UNKNOWN = "returned 999"  # NVML_ERROR_UNKNOWN, what a control group's refusal looks like from NVML


def lost_devices(machine: Snapshot) -> Optional[str]:
    """What shows that a container may no longer open the devices that it was given; None where nothing does."""
    driver = machine.driver
    if driver.cuda_init_code == 0 or not machine.host.container:
        return None
    if machine.driver_files.control_error == "EPERM":
        return "opening /dev/nvidiactl is refused (EPERM), although its permissions allow it"
    present = any(node.path == "/dev/nvidiactl" for node in machine.device_nodes)
    if present and NVML_UNKNOWN in driver.nvml_error:
        return f"/dev/nvidiactl is there, and NVML says: {driver.nvml_error}"
    return None


def foreign_libcuda(machine: Snapshot) -> Optional[Tuple[str, str]]:
    """A loaded libcuda that is not the driver's own and does not serve: what it is, and how to be rid of it."""
    driver = machine.driver
    path, code = driver.libcuda, driver.cuda_init_code
    if not path or code == 0:
        return None
    own, match = driver.kernel_module_version, _VERSION.search(path)
    loaded = match.group(1) if match else ""
    if code == STUB or "/stubs/" in path:
        return "a stub", "A stub is for linking only. Take its folder off LD_LIBRARY_PATH"
    if machine.host.is_wsl and path[0] == "/" and "/wsl/" not in path and not machine.host.container:
        return (
            "a Linux driver's",
            "Under WSL the driver is that of Windows, whose libcuda lies in /usr/lib/wsl/lib. Remove the Linux "
            "driver's packages: `sudo apt-get remove --purge 'libnvidia-compute-*' 'nvidia-driver-*'`",
        )
    if not loaded or not own or numbers(loaded) == numbers(own):
        return None
    if "/compat" in path and numbers(loaded) < numbers(own):
        return (
            f"of cuda-compat {loaded}",
            "The compatibility package is older than the driver, and of no use: take its folder off LD_LIBRARY_PATH, "
            "or remove the package",
        )
    if "/compat" not in path and machine.host.container:
        return (
            f"the image's {loaded}",
            "The image brings a driver's library of its own, which hides the one that the host lays in. Build the "
            "image without the packages libnvidia-compute-* and nvidia-driver-*",
        )
    return None


@rule("DRV020")
def container_lost_its_gpus(machine: Snapshot) -> List[Problem]:
    """The devices are there and their permissions are right, and the control group refuses to open them."""
    if not machine.host.container:
        raise Skip("this is no container")
    sign = lost_devices(machine)
    if sign is None:
        return []
    severity = Severity.INFO if chose_cpu(machine) else None
    return [Problem({"sign": sign}, (sign,), ("torch", "bitsandbytes"), severity)]


@rule("DRV021")
def libcuda_is_not_the_drivers(machine: Snapshot) -> List[Problem]:
    """Another libcuda lies before the driver's: a stub, an old compatibility package, an image's, Linux's in WSL."""
    if not machine.driver.libcuda:
        raise Skip("no libcuda loads")
    found = foreign_libcuda(machine)
    if found is None:
        return []
    driver, (kind, advice) = machine.driver, found
    untold = driver.cuda_init_code is None
    own = f"driver {driver.kernel_module_version}" if driver.kernel_module_version else "the driver"
    values = {
        "kind": kind,
        "driver": "Windows" if machine.host.is_wsl else own,
        "path": driver.libcuda,
        "advice": advice,
        "result": "CUDA was not started here" if untold else f"cuInit answers {driver.cuda_init_code}",
    }
    return [
        Problem(
            values,
            evidence=(f"libcuda: {driver.libcuda}",),
            affects=("torch", "bitsandbytes"),
            severity=Severity.WARNING if untold else None,
        )
    ]


@rule("DRV023")
def driver_libraries_differ(machine: Snapshot) -> List[Problem]:
    """The links of the driver's libraries lead nowhere, or to different versions: a half-done update or removal."""
    require_gpu(machine)
    driver, libraries = machine.driver, machine.driver_files.libraries
    if not libraries:
        raise Skip("none of the driver's libraries was found")
    if driver.libcuda and driver.cuda_init_code in (0, None) and not driver.nvml_error:
        return []
    gone = [library for library in libraries if not library.exists]
    mixed = _versions_in_one_folder(libraries)
    if not gone and not mixed:
        return []
    if gone:
        what = f"{gone[0].path} is a link that leads nowhere, or empty"
        evidence = tuple(f"{library.path}: no file behind it" for library in gone)
    else:
        what = f"{shorten(mixed[0], 30)} holds libraries of two driver versions"
        evidence = tuple(f"{lib.path}: {lib.version}" for lib in libraries if lib.version)
    works = bool(driver.libcuda) and driver.cuda_init_code in (0, None)
    severity = Severity.WARNING if works else None
    if chose_cpu(machine) and machine.host.container:
        severity = Severity.INFO
    return [
        Problem(
            {"what": what, "short": shorten(what, 66), "driver": driver.kernel_module_version or "unknown"},
            evidence=evidence,
            affects=("torch", "nvidia-smi"),
            severity=severity,
        )
    ]


@rule("DRV028")
def ptx_compiler_missing(machine: Snapshot) -> List[Problem]:
    """This torch reaches the GPU through PTX alone, and the driver's compiler for it is not there."""
    found = require_gpu(machine)
    libraries = [lib for lib in machine.driver_files.libraries if lib.exists]
    homes = {_folder(lib) for lib in libraries if lib.path.endswith("libcuda.so.1")}
    if not homes or machine.torch is None or not machine.torch.architectures:
        raise Skip("no libcuda was found in the usual folders, or torch's kernels are not known")
    by_ptx = [
        model
        for model in found
        if model.capability and serving(machine.torch.architectures, model.capability) == "ptx"
    ]
    has_compiler = any("ptxjitcompiler" in lib.path for lib in libraries)
    if not by_ptx or has_compiler:
        return []
    return [
        Problem(
            {"gpu": by_ptx[0].name, "sm": by_ptx[0].sm, "folder": sorted(homes)[0]},
            evidence=tuple(lib.path for lib in libraries),
            affects=("torch",),
        )
    ]


def _versions_in_one_folder(libraries: Tuple[DriverLibrary, ...]) -> List[str]:
    versions: Dict[str, Set[str]] = defaultdict(set)
    for library in libraries:
        if library.version and library.exists and "/compat" not in library.path:
            versions[_folder(library)].add(library.version)
    return sorted(folder for folder, found in versions.items() if len(found) > 1)


def _folder(library: DriverLibrary) -> str:
    return library.path.rpartition("/")[0]
