"""The driver and the GPUs, told by real libraries that a compiler made: answers, refusals, crashes and hangs."""

import sys
import time

import fakes
import pytest

from envdoc.doctor.facts import driver as module
from envdoc.doctor.facts import smi
from envdoc.doctor.facts.collect import _driver_facts
from envdoc.doctor.facts.gpu import device_nodes, pci_devices
from envdoc.doctor.facts.snapshot import DeviceNode, Gpu, PciDevice

GIB = 1 << 30


@pytest.fixture
def look(bare_machine, monkeypatch):
    """A function that sets the fakes' variables and returns the Driver and the GPUs that envdoc then finds."""

    def look_with(quick=False, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        facts = _driver_facts(quick)
        return facts["driver"], facts["gpus"]

    return look_with


def test_a_machine_without_a_driver(look):
    """Nothing is found, nothing is claimed, and both libraries' errors are kept."""
    driver, gpus = look()
    assert ("", "", "", None, ()) == (
        driver.version,
        driver.cuda,
        driver.libcuda,
        driver.cuda_init_code,
        gpus,
    )
    assert "cannot open shared object file" in driver.libcuda_error
    assert "cannot open shared object file" in driver.nvml_error


def test_a_healthy_machine(look, bare_machine):
    """Kernel module, NVML, libcuda and cuInit agree, and the GPU is told in full."""
    fakes.machine(bare_machine, driver="580.95.05")
    driver, gpus = look(**fakes.driver_variables([fakes.H100]))
    assert ("580.95.05", "/sys/module/nvidia/version") == (driver.version, driver.source)
    assert ("580.95.05", "580.95.05") == (driver.kernel_module_version, driver.nvml_version)
    assert ("13.0", 0, "", "") == (
        driver.cuda,
        driver.cuda_init_code,
        driver.libcuda_error,
        driver.nvml_error,
    )
    assert str(fakes.library("cuda")) == driver.libcuda
    assert driver.is_open_kernel_module is True
    assert (
        Gpu(
            index=0,
            name="NVIDIA H100 80GB HBM3",
            capability="9.0",
            memory_bytes=81559 << 20,
            memory_used_bytes=3 << 20,
            mig_enabled=False,
            ecc_enabled=True,
            ecc_uncorrected=0,
            pci_address="0000:3b:00.0",
            compute_mode="default",
        ),
    ) == gpus


def test_what_a_gpu_does_not_support_is_not_told(look):
    """A GeForce has no MIG and no ECC: None is neither on nor off. Two GPUs keep their order."""
    broken = "NVIDIA A100|8.0|40960|1|1|7|3|00000000:05:00.0"
    _, (geforce, a100) = look(**fakes.driver_variables([fakes.RTX_4090, broken]))
    assert (None, None, None) == (geforce.mig_enabled, geforce.ecc_enabled, geforce.ecc_uncorrected)
    assert (True, True, 7, "exclusive_process") == (
        a100.mig_enabled,
        a100.ecc_enabled,
        a100.ecc_uncorrected,
        a100.compute_mode,
    )
    assert (0, 1) == (geforce.index, a100.index)


def test_an_nvml_before_driver_510(look):
    """The older memory call is used where the newer one is refused."""
    _, (gpu,) = look(**fakes.driver_variables([fakes.H100]), FAKE_NVML_OLD="1")
    assert (81559 << 20, 1 << 20) == (gpu.memory_bytes, gpu.memory_used_bytes)


@pytest.mark.parametrize(("number", "expected"), [("11040", "11.4"), ("12080", "12.8"), ("13000", "13.0")])
def test_the_cuda_level_of_the_driver(look, number, expected):
    """cuDriverGetVersion's number is read as CUDA writes it."""
    driver, _ = look(**{**fakes.driver_variables(), "FAKE_CUDA_VERSION": number})
    assert expected == driver.cuda


@pytest.mark.parametrize("code", [100, 802, 803, 804, 999])
def test_what_cuinit_refuses_is_kept_as_its_code(look, code):
    """The code is a fact; NVML's GPUs stand beside it."""
    driver, gpus = look(**fakes.driver_variables(), FAKE_CUDA_INIT=str(code))
    assert (code, 1) == (driver.cuda_init_code, len(gpus))


def test_a_driver_newer_than_the_loaded_module(look, bare_machine):
    """NVML's refusal 18 is told in its own words; the version is the kernel's."""
    fakes.machine(bare_machine, driver="535.104.05")
    driver, gpus = look(**fakes.driver_variables(), FAKE_NVML_INIT="18")
    assert "nvmlInit_v2 returned 18 (Driver/library version mismatch)" == driver.nvml_error
    assert ("535.104.05", "", ()) == (driver.version, driver.nvml_version, gpus)


def test_a_gpu_that_fell_off_the_bus(look):
    """The lost one keeps its place and its error; the other is told in full."""
    driver, gpus = look(**fakes.driver_variables([fakes.H100, fakes.H100]), FAKE_NVML_LOST="1")
    assert "GPU 1 returned 15 (GPU is lost)" == driver.nvml_error
    assert ["NVIDIA H100 80GB HBM3", ""] == [gpu.name for gpu in gpus]


def test_a_hanging_cuinit_keeps_what_was_learned(look, monkeypatch):
    """After the limit there is an error that names the call, and every fact that came before it."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    started = time.monotonic()
    driver, gpus = look(**fakes.driver_variables(), FAKE_CUDA_HANG="1")
    assert time.monotonic() - started < 20
    assert "cuInit did not return within 1 s" == driver.libcuda_error
    assert ("580.95.05", "13.0", None, 1) == (
        driver.nvml_version,
        driver.cuda,
        driver.cuda_init_code,
        len(gpus),
    )


def test_a_quick_look_draws_no_verdict_from_a_slow_cuinit(look, monkeypatch):
    """Within the short limit a healthy machine may not be done: the code is untold and no error is claimed."""
    monkeypatch.setattr(module, "QUICK_TIMEOUT_SECONDS", 0.5)
    driver, gpus = look(quick=True, **fakes.driver_variables(), FAKE_CUDA_HANG="1")
    assert (None, "", 1) == (driver.cuda_init_code, driver.libcuda_error, len(gpus))


def test_a_hanging_nvml_keeps_the_cuda_level(look, monkeypatch):
    """NVML is asked after cuDriverGetVersion, and named as what hung."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    driver, gpus = look(**fakes.driver_variables(), FAKE_NVML_HANG="1")
    assert ("13.0", "nvmlInit_v2 did not return within 1 s", "", ()) == (
        driver.cuda,
        driver.nvml_error,
        driver.libcuda_error,
        gpus,
    )


def test_a_crash_in_cuinit_keeps_what_was_learned(look):
    """A signal is a fact with a name."""
    driver, gpus = look(**fakes.driver_variables(), FAKE_CUDA_CRASH="1")
    assert ("cuInit was killed by SIGSEGV", "13.0", 1) == (driver.libcuda_error, driver.cuda, len(gpus))


def test_a_crash_in_nvml_is_told_of_nvml(look):
    """It is not held against libcuda."""
    driver, _ = look(**fakes.driver_variables(), FAKE_NVML_CRASH="1")
    assert ("nvmlInit_v2 was killed by SIGSEGV", "") == (driver.nvml_error, driver.libcuda_error)


def test_a_container_with_libcuda_and_without_nvml(look):
    """ "compute" without "utility": CUDA itself tells its GPU."""
    variables = {**fakes.driver_variables(), "ENVDOC_NVML_LIB": "/nonexistent/libnvidia-ml.so.1"}
    driver, gpus = look(**variables, FAKE_CUDA_GPU="Tesla T4|7|5|15360")
    assert (Gpu(0, "Tesla T4", "7.5", 15 * GIB, pci_address="0000:3b:00.0"),) == gpus
    assert ("13.0", 0) == (driver.cuda, driver.cuda_init_code)


def test_a_library_that_is_no_driver(look):
    """A libcuda without CUDA's functions (a stub of somebody's) is an error with the missing name."""
    other = {"ENVDOC_LIBCUDA": "libc.so.6", "ENVDOC_NVML_LIB": "libc.so.6"}
    driver, gpus = look(**other)
    assert "cuDriverGetVersion" in driver.libcuda_error
    assert "nvml" in driver.nvml_error
    assert () == gpus


def test_the_module_version_from_proc_where_sys_has_none(look, bare_machine):
    """The closed module is told apart from the open one by the same file."""
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\n"
    fakes.machine(bare_machine, {"/proc/driver/nvidia/version": text})
    driver, _ = look()
    assert ("470.57.02", "/proc/driver/nvidia/version", False) == (
        driver.version,
        driver.source,
        driver.is_open_kernel_module,
    )


ROW = "0, Tesla P100-PCIE-16GB, 470.57.02, 16280, 2, 00000000:04:00.0, Default"


def test_nvidia_smi_speaks_where_nothing_else_does(look, tmp_path):
    """Its rows become GPUs and the driver's version, with it as the source; warnings around them are passed over."""
    fakes.program(
        tmp_path / "bin",
        "nvidia-smi",
        f"echo 'WARNING: infoROM is corrupted'\necho '{ROW}, 6.0, [N/A], Enabled'",
    )
    driver, gpus = look()
    assert ("470.57.02", "nvidia-smi") == (driver.version, driver.source)
    assert (
        Gpu(
            0,
            "Tesla P100-PCIE-16GB",
            "6.0",
            16280 << 20,
            2 << 20,
            ecc_enabled=True,
            pci_address="0000:04:00.0",
            compute_mode="default",
        ),
    ) == gpus


def test_an_nvidia_smi_that_does_not_know_the_newer_fields(look, tmp_path):
    """Drivers before 510 refuse compute_cap; the GPU is told without it."""
    body = f"""case "$1" in *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;; esac
echo '{ROW}'"""
    fakes.program(tmp_path / "bin", "nvidia-smi", body)
    driver, (gpu,) = look()
    assert ("470.57.02", "Tesla P100-PCIE-16GB", "") == (driver.version, gpu.name, gpu.capability)


def test_an_nvidia_smi_that_hangs(look, tmp_path, monkeypatch):
    """It is given up at its limit, and that is said."""
    monkeypatch.setattr(smi, "TIMEOUT_SECONDS", 1.0)
    fakes.program(tmp_path / "bin", "nvidia-smi", "sleep 60")
    started = time.monotonic()
    driver, gpus = look()
    assert time.monotonic() - started < 20
    assert driver.nvml_error.endswith("; `nvidia-smi` did not answer within 1 s.")
    assert ("", ()) == (driver.version, gpus)


@pytest.mark.parametrize(
    "body", [r"printf '\377\376\000,\377\n'", "exit 9", "echo '1, 2'", "echo 'No devices were found'; exit 6"]
)
def test_an_nvidia_smi_that_prints_anything(look, tmp_path, body):
    """Bytes that are no text, no output at all, half a row: a sentence, no GPU, no exception."""
    fakes.program(tmp_path / "bin", "nvidia-smi", body)
    driver, gpus = look()
    assert "`nvidia-smi` ended with exit status" in driver.nvml_error
    assert ("", ()) == (driver.version, gpus)


def test_nvidia_smi_is_not_asked_where_nvml_answered(look, tmp_path):
    """It would only be slower; its path is told all the same."""
    program = fakes.program(tmp_path / "bin", "nvidia-smi", f"touch {tmp_path}/asked")
    driver, _ = look(**fakes.driver_variables())
    assert not (tmp_path / "asked").exists()
    assert str(program) == driver.nvidia_smi


def test_the_child_never_outlives_its_alarm(monkeypatch, bare_machine):
    """Should envdoc be killed, SIGALRM ends the child that still waits for cuInit."""
    import subprocess

    for name, value in {**fakes.driver_variables(), "FAKE_CUDA_HANG": "1"}.items():
        monkeypatch.setenv(name, value)
    child = subprocess.run(
        [sys.executable, "-I", "-S", str(module._CHILD), "0"], capture_output=True, timeout=20
    )
    assert -14 == child.returncode


def test_pci_devices_with_and_without_a_driver(bare_machine):
    """GPUs are told with the kernel driver that holds them; their sound functions and other vendors are not GPUs."""
    fakes.pci_device(bare_machine, "0000:01:00.0", "0x2684", "nvidia", "0x030000")
    fakes.pci_device(bare_machine, "0000:02:00.0", "0x15f8", "nouveau")
    fakes.pci_device(bare_machine, "0000:03:00.0", "0x2330")
    fakes.pci_device(bare_machine, "0000:01:00.1", "0x22ba", "snd_hda_intel", "0x040300")
    fakes.pci_device(bare_machine, "0000:05:00.0", "0x1234")
    (bare_machine / "sys/bus/pci/devices/0000:05:00.0/vendor").write_text("0x1002\n")
    assert (
        PciDevice("0000:01:00.0", "0x2684", "nvidia"),
        PciDevice("0000:02:00.0", "0x15f8", "nouveau"),
        PciDevice("0000:03:00.0", "0x2330", ""),
    ) == pci_devices()


def test_device_nodes(bare_machine):
    """NVIDIA's nodes alone, under the names that they have on the machine."""
    fakes.machine(
        bare_machine, {f"/dev/{name}": "" for name in ("nvidia0", "nvidiactl", "nvidia-uvm", "nvme0", "null")}
    )
    names = ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"]
    assert tuple(DeviceNode(name, True, True) for name in names) == device_nodes()


def test_a_machine_without_sys_and_dev(tmp_path, monkeypatch):
    """Neither folder need be there."""
    monkeypatch.setenv("ENVDOC_ROOT", str(tmp_path / "nothing"))
    assert ((), ()) == (pci_devices(), device_nodes())
