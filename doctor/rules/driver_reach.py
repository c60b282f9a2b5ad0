"""Rules about ways to the GPU that are not there: nvidia-smi, WSL, a container's variables, the kind of module."""

import re
from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.driver import install_commands
from envdoc.doctor.rules.machine import chose_cpu, driver_version, judged_models, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.cuda_drivers import last_driver
from envdoc.doctor.tables.versions import numbers

# What nvidia-smi says on a machine that simply has no GPU or no driver: the rules that look for those judge it.
_NO_GPU = (
    "couldn't communicate with the nvidia driver",
    "no devices were found",
    "not found",
    "no such file",
)
_OPEN_FROM = "7.5"  # Turing, the first with the GSP that the open module needs
_OPEN_ONLY_FROM = "10.0"  # Blackwell


@rule("DRV022")
def nvidia_smi_fails(machine: Snapshot) -> List[Problem]:
    """nvidia-smi is there, and hangs or prints what no nvidia-smi prints."""
    driver = machine.driver
    said = driver.nvml_error.partition("`nvidia-smi`")[2]
    if not driver.nvidia_smi:
        raise Skip("there is no nvidia-smi")
    if not said or "mismatch" in said.lower():
        return []
    severity = None
    if any(words in said.lower() for words in _NO_GPU):
        effect, severity = "finds no GPU or no driver", Severity.INFO
        consequence = (
            "The driver's programs are here, and its kernel module or the GPU is not: on an instance or in a container "
            "without a GPU that is as it should be; otherwise load the module, or see that the GPU is given to it"
        )
    elif "did not answer" in said:
        effect = "does not answer"
        consequence = "Whatever asks it hangs too: the driver is in a bad state, which mostly a reboot mends"
    else:
        effect = "tells nothing that can be read"
        consequence = "It may be a wrapper, a file that was cut short, or one of another platform"
    values = {"effect": effect, "said": f"nvidia-smi{said}", "consequence": consequence}
    return [Problem(values, (driver.nvidia_smi,), ("nvidia-smi",), severity)]


@rule("DRV024")
def wsl_without_gpu(machine: Snapshot) -> List[Problem]:
    """WSL 1, or a WSL 2 without /dev/dxg: there is no way to the GPU."""
    if not machine.host.is_wsl or machine.host.container:
        raise Skip("this is not WSL")
    if machine.gpus or machine.driver.cuda_init_code == 0:
        return []
    first = re.match(r"4\.4\.0-\d+-Microsoft", machine.host.kernel)
    if not first and machine.driver_files.has_dxg is not False:
        return []
    values = {
        "what": "WSL 1 has no GPU" if first else "WSL 2 was not given the GPU: /dev/dxg is missing",
        "advice": "Convert the distribution with `wsl --set-version NAME 2`"
        if first
        else "Update WSL and the driver of Windows, and see that .wslconfig does not say gpuSupport=false",
    }
    # Without a sign of NVIDIA's a virtual machine without a GPU is as likely, and torch works there.
    has_sign = bool(machine.driver.libcuda or machine.driver.nvidia_smi)
    severity = None if has_sign and not chose_cpu(machine) else Severity.INFO
    commands = () if first else ("wsl.exe --update", "wsl.exe --shutdown")
    evidence = (f"kernel {machine.host.kernel}",)
    return [Problem(values, evidence, ("torch",), severity, commands)]


@rule("DRV025")
def container_variables(machine: Snapshot) -> List[Problem]:
    """NVIDIA_VISIBLE_DEVICES or NVIDIA_DRIVER_CAPABILITIES keep the GPU or CUDA's library out of the container."""
    if not machine.host.container:
        raise Skip("this is no container")
    if machine.gpus and machine.driver.libcuda:
        return []
    capabilities = machine.variables.get("NVIDIA_DRIVER_CAPABILITIES", "")
    visible = machine.variables.get("NVIDIA_VISIBLE_DEVICES", "")
    has_host_driver = bool(machine.driver.kernel_module_version)
    severity = Severity.INFO if chose_cpu(machine) else None
    if capabilities and not {"all", "compute"} & set(re.split(r"[,\s]+", capabilities)):
        if machine.driver.libcuda or not (has_host_driver or machine.gpus):
            return []
        setting, effect = f"NVIDIA_DRIVER_CAPABILITIES={capabilities}", "leaves CUDA out"
        advice = "Start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    elif visible.lower() in ("void", "none") and has_host_driver and not machine.gpus:
        setting, effect = f"NVIDIA_VISIBLE_DEVICES={visible}", "keeps every GPU out"
        advice = "Start the container with NVIDIA_VISIBLE_DEVICES=all or with `--gpus all`"
        severity = Severity.INFO  # nobody writes that by mistake
    else:
        return []
    values = {"setting": shorten(setting, 48), "effect": effect, "advice": advice}
    return [Problem(values, (setting,), ("torch", "bitsandbytes"), severity)]


@rule("DRV026")
def wrong_kind_of_module(machine: Snapshot) -> List[Problem]:
    """The open kernel module with a GPU before Turing, or the proprietary one with Blackwell: neither starts it."""
    found, is_open = judged_models(machine), machine.driver.is_open_kernel_module
    if is_open is None or not machine.driver.kernel_module_version:
        raise Skip("the kind of the kernel module is not known")
    if machine.gpus:  # NVML lists what the module serves
        return []
    problems = []
    for model in found:
        capability = numbers(model.capability)
        if is_open and capability < numbers(_OPEN_FROM):
            has, wants = "open", "proprietary"
        elif not is_open and capability >= numbers(_OPEN_ONLY_FROM):
            has, wants = "proprietary", "open"
        else:
            continue
        branch = machine.driver.kernel_module_version.split(".")[0]
        package = f"nvidia-driver-{branch}" + ("-open" if wants == "open" else "")
        ubuntu = "ubuntu" in machine.host.distribution.lower() and not machine.host.container
        problems.append(
            Problem(
                {
                    "gpu": model.name,
                    "has": has,
                    "wants": wants,
                    "driver": machine.driver.kernel_module_version,
                },
                affects=("torch",),
                commands=(f"sudo apt-get install {package}", "sudo reboot") if ubuntu else (),
            )
        )
    return problems


@rule("DRV027")
def driver_dropped_the_gpu(machine: Snapshot) -> List[Problem]:
    """The driver is newer than the last branch that knows the GPU."""
    found, version = judged_models(machine), driver_version(machine.driver)
    if not version:
        raise Skip("no driver version is known")
    if machine.gpus and machine.driver.cuda_init_code in (0, None):
        return []
    problems = []
    for model in found:
        last = last_driver(model.capability)
        if last and numbers(version)[:1] > numbers(last)[:1]:
            values = {"driver": version, "gpu": model.name, "sm": model.sm, "last": last}
            commands = tuple(
                c.replace("install --gpgpu", f"install nvidia:{last}") for c in install_commands(machine.host)
            )
            problems.append(Problem(values, affects=("torch",), commands=commands))
    return problems
