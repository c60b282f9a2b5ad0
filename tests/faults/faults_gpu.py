"""Faults of driver, GPU, and the CUDA that torch and bitsandbytes were built for."""

import json

import fakes
from box import CUDA_118_KERNELS, Box
from fault import fault

RTX_5090 = "NVIDIA GeForce RTX 5090|12.0|32607|-|-|0|0|00000000:01:00.0"
SECOND_4090 = fakes.RTX_4090.replace("01:00.0", "02:00.0")


def with_h100(box: Box, column: int, value: str) -> str:
    """The row of an H100 with another value: 3 MIG, 4 ECC, 5 uncorrected errors, 6 compute mode."""
    fields = fakes.H100.split("|")
    fields[column] = value
    return "|".join(fields)


@fault("G02", "DRV010", says=["too old", "needs driver"])
def driver_470_under_cuda_13(box):
    """Driver 470 (CUDA 11.4) under a torch for CUDA 13.0."""
    box.gpu(fakes.RTX_4090, driver="470.57.02", cuda=11040)
    box.cuda_torch()


@fault("G04", "DRV004", says=["mismatch"])
def driver_and_library_differ(box):
    """NVML answers 18: the kernel module and the libraries are of different versions."""
    box.gpu_machine(FAKE_NVML_INIT="18", FAKE_CUDA_INIT="803")


@fault("G05", "DRV007", also=["TOR004"], quick=False, says=["did not return", "timed out"])
def driver_hangs(box):
    """cuInit never returns."""
    box.gpu(FAKE_CUDA_HANG="1")


@fault("G06", "DRV013", "DRV003", says=["unreadable", "could not parse"])
def nvidia_smi_prints_bytes(box):
    """NVML is gone, and nvidia-smi prints bytes that are no text."""
    fakes.machine(box.root, driver="580.95.05")
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330", "nvidia")
    box.cuda_torch()
    fakes.program(box.clone.own("bin"), "nvidia-smi", r"printf '\377\376\000\001'")


@fault("G08", "TOR003", also=["BNB"], says=["not compatible", "no kernels", "sm_60"])
def pascal_under_cuda_13(box):
    """A Tesla P100 under a torch that was compiled for sm_75 and newer."""
    box.gpu_machine(fakes.P100)


@fault("G10", "DRV006", says=["forward compatib", "804"])
def forward_compatibility_refused(box):
    """cuInit answers 804: a compatibility libcuda on a GPU that it is not for."""
    box.gpu_machine(fakes.RTX_4090, FAKE_CUDA_INIT="804")


@fault("G12", "CFG021", says=["LD_LIBRARY_PATH"])
def old_cuda_on_the_library_path(box):
    """LD_LIBRARY_PATH leads to an old libcudart and libcudnn."""
    box.gpu_machine()
    folder = box.folder / "usr/local/cuda-11.0/lib64"
    for name in ("libcudart.so.11.0", "libcudnn.so.8"):
        fakes.shared_library(folder / name, strings=["old"])
    box.environ["LD_LIBRARY_PATH"] = str(folder)


@fault("G14", "CFG011", says=["CUDA_HOME"])
def cuda_home_gone(box):
    """CUDA_HOME names a folder that is not there."""
    box.gpu_machine()
    box.environ["CUDA_HOME"] = "/usr/local/cuda-gone"


@fault("G16", "GPU002", says=["CUDA_VISIBLE_DEVICES"])
def gpus_hidden(box):
    """CUDA_VISIBLE_DEVICES is empty and hides every GPU."""
    box.gpu_machine()
    box.environ["CUDA_VISIBLE_DEVICES"] = ""


@fault("G17", "GPU002", says=["CUDA_VISIBLE_DEVICES"])
def gpu_number_too_high(box):
    """CUDA_VISIBLE_DEVICES names GPU 7 of a machine with one."""
    box.gpu_machine()
    box.environ["CUDA_VISIBLE_DEVICES"] = "7"


@fault("G18", "BNB002", says=["libbitsandbytes", "library not found"])
def bitsandbytes_libraries_gone(box):
    """Every libbitsandbytes_cuda*.so is gone from bitsandbytes."""
    box.gpu_machine()
    for path in sorted(box.clone.site.glob("bitsandbytes/libbitsandbytes_cuda*.so")):
        box.clone.remove(f"bitsandbytes/{path.name}")
    box.clone.settle("bitsandbytes")


@fault("G19", "BNB002", says=["libbitsandbytes", "library not found"])
def bitsandbytes_of_before_cuda_13(box):
    """A bitsandbytes of which no library is for CUDA 13."""
    box.gpu_machine()
    for path in sorted(box.clone.site.glob("bitsandbytes/libbitsandbytes_cuda13*.so")):
        box.clone.remove(f"bitsandbytes/{path.name}")
    box.clone.release("bitsandbytes", "0.47.0")


@fault("G20", "DRV001", says=["no driver", "driver is not loaded"])
def no_driver(box):
    """An H100 on the PCI bus, and no driver at all."""
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330")
    box.cuda_torch()


@fault("G21", "DRV002", says=["nouveau"])
def nouveau_holds_the_gpu(box):
    """nouveau is bound to the GPU."""
    fakes.pci_device(box.root, "0000:01:00.0", "0x2684", "nouveau")
    box.cuda_torch()


@fault("G22", "DRV003", says=["libcuda"])
def container_without_driver_libraries(box):
    """A container that sees the kernel module, and was started without the driver's libraries."""
    fakes.machine(box.root, {"/.dockerenv": ""}, driver="580.95.05")
    fakes.pci_device(box.root, "0000:3b:00.0", "0x2330", "nvidia")
    box.cuda_torch()


@fault("G23", "DRV005", "DRV009", says=["no CUDA-capable device"])
def cuda_finds_no_device(box):
    """NVML shows a GPU, and cuInit answers 100: no device."""
    box.gpu_machine(FAKE_CUDA_INIT="100")


@fault("G24", "DRV007", "DRV009", says=["unknown error", "999"])
def cuda_unknown_error(box):
    """cuInit answers 999 after a suspend."""
    box.gpu_machine(FAKE_CUDA_INIT="999")


@fault("G25", "DRV008", says=["fabric manager", "802"])
def fabric_manager_missing(box):
    """cuInit answers 802 on a machine with NVSwitch."""
    box.gpu_machine(FAKE_CUDA_INIT="802")


@fault("G26", "DRV009", also=["DRV007"], says=["nvidia-uvm"])
def uvm_node_missing(box):
    """/dev/nvidia-uvm is missing, and cuInit answers 999."""
    box.gpu_machine(FAKE_CUDA_INIT="999")
    (box.root / "dev/nvidia-uvm").unlink()


@fault("G27", "TOR004", says=["CPU build", "cpu-only"])
def cpu_torch_beside_a_gpu(box):
    """A torch without CUDA on a machine with an H100."""
    box.gpu()


@fault("G28", "TOR005", says=["ROCm build"])
def rocm_torch_beside_nvidia(box):
    """A torch for ROCm on a machine with an NVIDIA GPU."""
    box.gpu()
    box.cuda_torch("2.13.0+rocm7.1", cuda="", hip="7.1.25424")


@fault("G29", "GPU003", says=["MIG"])
def mig_without_instances(box):
    """MIG is on, and no instance was made: cuInit answers 100."""
    box.gpu_machine(with_h100(box, 3, "1"), FAKE_CUDA_INIT="100")


@fault("G30", "GPU004", says=["uncorrect"])
def uncorrected_memory_errors(box):
    """The GPU's memory has 12 errors that ECC could not correct."""
    box.gpu_machine(with_h100(box, 5, "12"))


@fault("G31", "GPU005", also=["TOR003"], says=["different GPUs", "mixed"])
def two_kinds_of_gpu(box):
    """An H100 beside an RTX 4090."""
    box.gpu_machine(fakes.H100, fakes.RTX_4090)


@fault("G32", "GPU006", says=["prohibited"])
def compute_prohibited(box):
    """The compute mode forbids every CUDA program."""
    box.gpu_machine(with_h100(box, 6, "2"))


@fault("G34", "GPU008", says=["NCCL_P2P_DISABLE"])
def two_4090_with_an_old_driver(box):
    """Two RTX 4090 under driver 525.60, which offers a peer-to-peer that they have not."""
    box.gpu(fakes.RTX_4090, SECOND_4090, driver="525.60.13", cuda=12000)
    box.cuda_torch("2.13.0+cu118", "11.8", CUDA_118_KERNELS)


@fault("G35", "TOR003", also=["TRF", "BNB", "TOR006", "PKG002"], says=["not compatible", "sm_120"])
def blackwell_under_cuda_11(box):
    """An RTX 5090 under a torch for CUDA 11.8, whose newest kernels are sm_90."""
    box.gpu(RTX_5090)
    box.cuda_torch("2.13.0+cu118", "11.8", CUDA_118_KERNELS)


@fault("G36", "DRV010", says=["too old"])
def driver_525_under_cuda_13(box):
    """Driver 525 (CUDA 12.0) under a torch for CUDA 13.0: no minor version compatibility over a major one."""
    box.gpu(driver="525.60.13", cuda=12000)
    box.cuda_torch()


@fault("G37", "DRV012", also=["DRV010", "DRV005"], says=["too old"])
def driver_older_than_the_gpu(box):
    """An RTX 5090 with a driver from before it was made."""
    fakes.machine(box.root, driver="535.54.03")
    fakes.pci_device(box.root, "0000:01:00.0", "0x2b85", "nvidia")
    box.environ.update(fakes.driver_variables((), "535.54.03", 12020), FAKE_CUDA_INIT="100")
    box.cuda_torch("2.13.0+cu126", "12.6")


@fault("G38", "BNB005", also=["BNB"], says=["BNB_CUDA_VERSION"])
def bitsandbytes_told_an_absent_cuda(box):
    """BNB_CUDA_VERSION=117, which no library of this bitsandbytes is for."""
    box.gpu_machine()
    box.environ["BNB_CUDA_VERSION"] = "117"


@fault("G39", "BNB003", "TOR003", also=["BNB"], says=["no kernel image"])
def bitsandbytes_without_pascal(box):
    """A P100, a torch for it, and a bitsandbytes whose library of that CUDA has nothing for sm_60."""
    box.gpu(fakes.P100)
    box.cuda_torch("2.13.0+cu128", "12.8", CUDA_118_KERNELS)


@fault("G40", "BNB004", also=["BNB", "TOR003"], says=["int8"])
def int8_before_turing(box):
    """LLM.int8() on a P100, which has no int8 tensor cores."""
    box.gpu(fakes.P100)
    box.cuda_torch("2.13.0+cu126", "12.6", CUDA_118_KERNELS)


@fault("G41", "DRV010", says=["too old"])
def old_libcuda_before_the_drivers(box):
    """Driver 580, and a libcuda of CUDA 12.4 that is found before its own."""
    box.gpu_machine(cuda=12040)


@fault("G42", "DRV013", says=["lost"])
def gpu_fell_off_the_bus(box):
    """One of two GPUs is lost."""
    box.gpu_machine(fakes.H100, fakes.H100.replace("3B", "5E"), FAKE_NVML_LOST="1")


@fault("G43", "DRV007", "DRV013", says=["signal", "crashed"])
def libcuda_crashes(box):
    """cuInit ends its process by SIGSEGV."""
    box.gpu_machine(FAKE_CUDA_CRASH="1")


@fault("G44", "CFG010", says=["nvcc", "toolkit"])
def toolkit_of_another_cuda(box):
    """nvcc of CUDA 11.8 on PATH beside a torch for CUDA 13.0."""
    box.gpu_machine()
    fakes.program(box.clone.own("bin"), "nvcc", "echo 'Cuda compilation tools, release 11.8, V11.8.89'")


@fault("G45", "BNB001", says=["bitsandbytes"])
def bitsandbytes_not_installed(box):
    """A GPU, a torch for it, and no bitsandbytes."""
    box.gpu_machine()
    box.clone.uninstall("bitsandbytes")


@fault("G46", "TOR007", says=["cu12"])
def cuda_12_parts_beside_cuda_13(box):
    """cuBLAS of CUDA 12 beside a torch for CUDA 13.0."""
    box.gpu_machine()
    box.clone.install("nvidia-nccl-cu13", "2.29.7", files={"nvidia/nccl/lib/libnccl.so.2": ""})
    box.clone.install("nvidia-cublas-cu12", "12.8.4.1", files={"nvidia/cublas/lib/libcublas.so.12": ""})


@fault("G47", "TOR002", says=["libtorch_cuda"])
def libtorch_cuda_gone(box):
    """libtorch_cuda.so is gone from a torch for CUDA."""
    box.gpu_machine()
    box.clone.remove("torch/lib/libtorch_cuda.so")


@fault("G48", "CFG023", says=["kernel"])
def kernel_of_another_python(box):
    """A notebook whose only kernel starts another interpreter."""
    spec = box.home / ".local/share/jupyter/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps({"argv": ["/usr/bin/python3", "-m", "ipykernel_launcher"], "language": "python"})
    )
    box.clone.install("ipykernel", "7.1.0")
    box.environ["JPY_PARENT_PID"] = "4711"
