"""Faults of the host around a GPU: driver files, limits, mounts, what nvidia-smi alone tells."""

import fakes
from box import CUDA_118_KERNELS, Box
from fault import fault

LIBRARIES = "usr/lib/x86_64-linux-gnu"
SMI_TABLE = """cat <<'END'
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 470.57.02    Driver Version: 470.57.02    CUDA Version: 11.4     |
|   0  NVIDIA GeForce RTX 3090    Off  | 00000000:01:00.0 Off |                  N/A |
END"""


def driver_library(box: Box, name: str, version: str, empty: bool = False) -> None:
    """A library of the driver on the machine, by its link and the file behind it."""
    folder = box.root / LIBRARIES
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.{version}").write_text("" if empty else "ELF")
    (folder / f"{name}.1").symlink_to(f"{name}.{version}")


@fault("H01", "DRV020", says=["cgroup", "daemon-reload"])
def container_lost_its_gpus(box):
    """A container whose control group forgot its devices: NVML says Unknown Error, cuInit 999."""
    box.gpu_machine(FAKE_CUDA_INIT="999", FAKE_NVML_INIT="999")
    fakes.machine(box.root, {"/.dockerenv": ""})
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330", "nvidia")


@fault("H02", "DRV021", says=["stub"])
def stub_of_libcuda(box):
    """The stub of a toolkit is the libcuda that loads: cuInit answers 34."""
    box.gpu_machine(FAKE_CUDA_INIT="34")


@fault("H03", "DRV006", says=["forward compatib", "804"])
def compat_without_a_listed_gpu(box):
    """cuInit answers 804, and neither NVML nor the bus shows a GPU."""
    box.gpu(FAKE_CUDA_INIT="804")
    box.environ["ENVDOC_NVML_LIB"] = "/nonexistent/libnvidia-ml.so.1"
    box.cuda_torch()


@fault("H04", "DRV023", also=["DRV003"], says=["file too short", "no such file"])
def libcuda_link_leads_nowhere(box):
    """libcuda.so.1 is a link to a file that was removed."""
    fakes.machine(box.root, driver="580.95.05")
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330", "nvidia")
    driver_library(box, "libcuda.so", "580.95.05")
    (box.root / LIBRARIES / "libcuda.so.580.95.05").unlink()
    box.cuda_torch()


@fault("H05", "DRV023", "DRV004", also=["DRV013"], says=["mismatch", "version"])
def libraries_of_two_drivers(box):
    """libcuda of 580 beside NVML of 535 in one folder, and NVML answers 18."""
    box.gpu_machine(FAKE_NVML_INIT="18", FAKE_CUDA_INIT="803")
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330", "nvidia")
    driver_library(box, "libcuda.so", "580.95.05")
    driver_library(box, "libnvidia-ml.so", "535.183.01")


@fault("H06", "DRV022", says=["timed out", "did not answer"], quick=True)
def nvidia_smi_hangs(box):
    """nvidia-smi never returns, and there is nothing else to ask."""
    box.cuda_torch()
    fakes.program(box.clone.own("bin"), "nvidia-smi", "exec sleep 60")


@fault("H07", "DRV010", also=["TOR", "BNB"], says=["too old"])
def old_driver_by_nvidia_smi_alone(box):
    """Only nvidia-smi tells of driver 470, and it knows no query: it prints its table."""
    box.cuda_torch()
    fakes.program(box.clone.own("bin"), "nvidia-smi", SMI_TABLE)


@fault("H08", "TOR003", also=["BNB", "DRV"], says=["sm_60", "no kernels"])
def old_gpu_by_nvidia_smi_alone(box):
    """Only `nvidia-smi -L` tells of a Tesla P100, under a torch for sm_75 and newer."""
    box.cuda_torch()
    body = "echo 'GPU 0: Tesla P100-PCIE-16GB (UUID: GPU-00000000-0000-0000-0000-000000000000)'"
    fakes.program(box.clone.own("bin"), "nvidia-smi", body)


@fault("H09", "DRV001", says=["dkms", "kernel"])
def module_for_another_kernel(box):
    """The kernel was updated, and the module is there for the old one only."""
    files = {
        "/proc/sys/kernel/osrelease": "6.8.0-60-generic\n",
        "/lib/modules/6.8.0-60-generic/modules.dep": "kernel/fs/ext4/ext4.ko:\n",
        "/lib/modules/6.8.0-48-generic/modules.dep": "updates/dkms/nvidia.ko.zst: kernel/drivers/video.ko\n",
    }
    fakes.machine(box.root, files)
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330")
    box.cuda_torch()


@fault("H10", "DRV024", says=["/dev/dxg", "WSL"])
def wsl_without_dxg(box):
    """WSL 2 without /dev/dxg."""
    fakes.machine(box.root, {"/proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"})
    box.cuda_torch()


@fault("H11", "DRV021", says=["libnvidia-compute", "WSL"])
def linux_driver_in_wsl(box):
    """A Linux driver within WSL: its libcuda is found before that of Windows and finds no device."""
    files = {"/proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n", "/dev/dxg": ""}
    box.environ.update(fakes.driver_variables((), "535.183.01", 12020), FAKE_CUDA_INIT="100")
    fakes.machine(box.root, files)
    box.cuda_torch()


@fault("H12", "DRV025", also=["DRV003"], says=["NVIDIA_DRIVER_CAPABILITIES"])
def container_without_compute(box):
    """NVIDIA_DRIVER_CAPABILITIES=graphics: the container has no libcuda."""
    fakes.machine(box.root, {"/.dockerenv": ""}, driver="580.95.05")
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330", "nvidia")
    box.environ["NVIDIA_DRIVER_CAPABILITIES"] = "graphics,video"
    box.cuda_torch()


@fault("H13", "DRV026", also=["DRV005"], says=["open kernel module"])
def proprietary_module_with_blackwell(box):
    """An RTX 5090 under the proprietary kernel module: no device."""
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Release Build\n"
    fakes.machine(box.root, {"/proc/driver/nvidia/version": version}, driver="580.95.05")
    fakes.pci_device(box.root, "0000:01:00.0", "0x2b85", "nvidia")
    box.environ.update(fakes.driver_variables((), "580.95.05", 13000), FAKE_CUDA_INIT="100")
    box.cuda_torch()


@fault("H14", "DRV027", also=["DRV005", "TOR003", "DRV026", "BNB"], says=["580", "no longer"])
def driver_dropped_pascal(box):
    """A P100 under driver 595, which no longer serves it."""
    fakes.machine(box.root, driver="595.71.05")
    fakes.pci_device(box.root, "0000:04:00.0", "0x15f8", "nvidia")
    box.environ.update(fakes.driver_variables((), "595.71.05", 13020), FAKE_CUDA_INIT="100")
    box.cuda_torch("2.13.0+cu126", "12.6", CUDA_118_KERNELS)


@fault("H15", "GPU010", says=["CUDA_VISIBLE_DEVICES"])
def visible_devices_in_quotes(box):
    """CUDA_VISIBLE_DEVICES has its quotes as part of it."""
    box.gpu_machine()
    box.environ["CUDA_VISIBLE_DEVICES"] = '"0"'


@fault("H16", "GPU010", says=["CUDA_VISIBLE_DEVICES"])
def visible_devices_twice(box):
    """CUDA_VISIBLE_DEVICES=0,0 leaves no GPU at all."""
    box.gpu_machine()
    box.environ["CUDA_VISIBLE_DEVICES"] = "0,0"


@fault("H17", "GPU010", says=["CUDA_VISIBLE_DEVICES"])
def visible_device_of_another_machine(box):
    """CUDA_VISIBLE_DEVICES names a card by a UUID that is not here."""
    box.gpu_machine()
    box.environ["CUDA_VISIBLE_DEVICES"] = "GPU-deadbeef"


@fault("H18", "GPU012", says=["thermal", "throttl"])
def gpu_too_hot(box):
    """The GPU is slowed down by heat."""
    box.gpu_machine(FAKE_THROTTLE="0x48", FAKE_TEMPERATURE="91")


@fault("H19", "GPU011", says=["remap", "row"])
def rows_wait_for_a_reset(box):
    """Rows of the GPU's memory wait for a reset to be exchanged."""
    box.gpu_machine(FAKE_REMAP_PENDING="1")


@fault("H20", "SYS027", says=["ulimit", "file size"])
def small_files_only(box):
    """ulimit -f: no file may be larger than 100 MB."""
    box.limits["f"] = 200_000


@fault("H21", "SYS027", says=["ulimit", "CPU time"])
def little_processor_time(box):
    """ulimit -t: every process is killed after half an hour of processor time."""
    box.limits["t"] = 1800


@fault("H22", "SYS029", says=["memory"])
def memory_used_up(box):
    """Another program holds the machine's memory."""
    box.gpu_machine()
    fakes.machine(box.root, {"/proc/meminfo": "MemTotal: 65843220 kB\nMemAvailable: 700000 kB\n"})


@fault("H23", "SYS030", says=["pids"])
def few_processes_in_the_control_group(box):
    """pids.max of the container is nearly reached."""
    files = {
        "/proc/self/cgroup": "0::/\n",
        "/sys/fs/cgroup/pids.max": "100\n",
        "/sys/fs/cgroup/pids.current": "80\n",
    }
    fakes.machine(box.root, files)


@fault("H24", "SYS028", says=["overcommit"])
def strict_overcommit(box):
    """vm.overcommit_memory=2, and nearly all is granted."""
    memory = "MemTotal: 65843220 kB\nMemAvailable: 60000000 kB\nCommitLimit: 33000000 kB\nCommitted_AS: 32000000 kB\n"
    fakes.machine(box.root, {"/proc/sys/vm/overcommit_memory": "2\n", "/proc/meminfo": memory})


@fault("H25", "SYS026", says=["SSE4", "AVX", "x86-64-v2"])
def qemu_processor(box):
    """A virtual processor of 2003, without SSE 4."""
    text = (
        "processor\t: 0\nmodel name\t: QEMU Virtual CPU version 2.5+\nflags\t\t: fpu sse sse2 lm\nbugs\t:\n"
    )
    fakes.machine(box.root, {"/proc/cpuinfo": text})


@fault("H26", "SYS031", says=["noexec"])
def kernels_on_a_noexec_mount(box):
    """TRITON_CACHE_DIR lies on a mount with noexec."""
    box.gpu_machine()
    folder = box.folder / "kernels"
    folder.mkdir()
    box.environ["TRITON_CACHE_DIR"] = str(folder)
    mounts = f"/dev/vda / ext4 rw 0 0\nnas:/k {folder.resolve()} nfs4 rw,noexec 0 0\n"
    fakes.machine(box.root, {"/proc/self/mounts": mounts})


@fault("H48", "DRV006", says=["forward compatib", "804"])
def compat_on_the_library_path(box):
    """LD_LIBRARY_PATH leads to a libcuda that answers 804, and nothing else tells of a GPU."""
    folder = box.folder / "compat"
    folder.mkdir()
    (folder / "libcuda.so.1").symlink_to(fakes.library("cuda"))
    box.environ.pop("ENVDOC_LIBCUDA")
    box.environ.update(LD_LIBRARY_PATH=str(folder), FAKE_CUDA_INIT="804", FAKE_CUDA_VERSION="13000")
    box.cuda_torch()


@fault("H49", "DRV004", also=["DRV003"], says=["mismatch"])
def mismatch_by_nvidia_smi_alone(box):
    """Only nvidia-smi tells that the driver and its library differ."""
    box.cuda_torch()
    body = "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"
    fakes.program(box.clone.own("bin"), "nvidia-smi", body)


@fault("H50", "GPU002", also=["TOR004"], says=["CUDA_VISIBLE_DEVICES"])
def hidden_gpu_by_nvidia_smi_alone(box):
    """CUDA_VISIBLE_DEVICES is empty, and only `nvidia-smi -L` tells of the GPU."""
    body = "echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-00000000-0000-0000-0000-000000000000)'"
    fakes.program(box.clone.own("bin"), "nvidia-smi", body)
    box.environ["CUDA_VISIBLE_DEVICES"] = ""


@fault("H51", "DRV022", says=["couldn't communicate"])
def nvidia_smi_without_a_driver(box):
    """nvidia-smi is installed, and the kernel module is not loaded."""
    box.cuda_torch()
    body = 'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9'
    fakes.program(box.clone.own("bin"), "nvidia-smi", body)


@fault("H53", "GPU003", also=["DRV007"], says=["MIG"])
def mig_instances_were_never_made(box):
    """MIG is on without an instance, which NVML tells where CUDA fails in another way."""
    fields = fakes.H100.split("|")
    fields[3] = "1"
    box.gpu_machine("|".join(fields), FAKE_MIG_SIZES="", FAKE_CUDA_INIT="3")
