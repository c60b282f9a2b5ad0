"""Faults of compiled extensions: built for another torch, CUDA, GPU, Python or system than the one they meet."""

import fakes
from box import Box
from extension_files import compiled
from fault import fault
from faults_gpu import RTX_5090

SUFFIX = "cpython-311-x86_64-linux-gnu.so"
GONE = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"  # the old C++ ABI, which no torch since 2.7 has
TORCH = ("libc10.so", "libtorch_cpu.so")


def extension(
    box: Box, name: str, version: str, file: str, tag: str = "cp311-cp311-linux_x86_64", **how
) -> None:
    """A whole distribution with one compiled library, as pip leaves it."""
    module = name.replace("-", "_")
    box.clone.install(name, version, tag=tag, requires=["torch"])
    box.clone.package(module)
    path = box.clone.site / file
    path.parent.mkdir(parents=True, exist_ok=True)
    compiled(path, **how)
    record = box.clone.package(f"{module}-{version}.dist-info/RECORD")
    record.write_text(f"{file},,{path.stat().st_size}\n{record.read_text()}")


@fault("E01", "TOR011", says=["undefined symbol", "not built for"])
def flash_attention_of_another_torch(box):
    """A flash-attn wheel for the old C++ ABI beside a torch with the new one."""
    box.gpu_machine()
    file = f"flash_attn_2_cuda.{SUFFIX}"
    extension(box, "flash-attn", "2.7.4", file, symbols=[GONE], needed=TORCH, code=["sm_80", "sm_90"])


@fault("E02", "TOR012", says=["libcudart.so.12", "cannot open shared object"])
def flash_attention_for_cuda_12(box):
    """A flash-attn wheel for CUDA 12 beside a torch for CUDA 13."""
    box.gpu_machine()
    needed = (*TORCH, "libcudart.so.12")
    extension(
        box, "flash-attn", "2.8.3", f"flash_attn_2_cuda.{SUFFIX}", needed=needed, code=["sm_80", "sm_90"]
    )


@fault("E03", "TOR010", says=["no kernel", "sm_120"])
def flash_attention_without_kernels(box):
    """A flash-attn that was compiled for Ampere and Hopper, on an RTX 5090."""
    box.gpu_machine(RTX_5090)
    extension(
        box, "flash-attn", "2.7.4", f"flash_attn_2_cuda.{SUFFIX}", needed=TORCH, code=["sm_80", "sm_90"]
    )


@fault("E04", "TOR012", says=["libtorch_cuda.so", "torchvision::nms"])
def torchvision_for_cuda_beside_cpu_torch(box):
    """The torchvision of the package index, which is built for CUDA, beside a CPU build of torch."""
    needed = (*TORCH, "libtorch_cuda.so", "libc10_cuda.so", "libcudart.so.13")
    extension(box, "torchvision", "0.28.0", "torchvision/_C.so", needed=needed, code=["sm_75", "sm_90"])


@fault("E05", "TOR013", says=["compiled and installed with a different version"])
def deepspeed_operators_of_another_torch(box):
    """Operators that deepspeed compiled for torch 2.8, beside a newer torch."""
    box.gpu_machine()
    extension(box, "deepspeed", "0.18.2", f"deepspeed/ops/adam/cpu_adam_op.{SUFFIX}", needed=TORCH)
    box.clone.write(
        "deepspeed/git_version_info_installed.py",
        "version='0.18.2'\ntorch_info={'version': '2.8', 'bf16_support': True, 'cuda_version': '12.8'}\n",
    )


@fault("E06", "PKG021", says=["GLIBC_9.99' not found"])
def extension_for_a_newer_glibc(box):
    """A flash-attn that was compiled on a machine with a newer glibc and copied here."""
    box.gpu_machine()
    versions = [("libc.so.6", "GLIBC_9.99")]
    file = f"flash_attn_2_cuda.{SUFFIX}"
    extension(box, "flash-attn", "2.8.3", file, needed=TORCH, code=["sm_80", "sm_90"], versions=versions)


@fault("E07", "PKG021", says=["GLIBCXX_9.4.99' not found"])
def extension_for_a_newer_libstdcxx(box):
    """An xformers that was compiled with a newer gcc than this system's libstdc++ knows."""
    box.gpu_machine()
    versions = [("libstdc++.so.6", "GLIBCXX_9.4.99")]
    extension(
        box, "xformers", "0.0.35", "xformers/_C.so", needed=TORCH, code=["sm_80", "sm_90"], versions=versions
    )


@fault("E08", "PKG020", says=["No module named 'flash_attn_2_cuda'"])
def extension_of_another_python(box):
    """A flash-attn whose module is named for Python 3.10, copied beside Python 3.11."""
    box.gpu_machine()
    file = "flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so"
    extension(box, "flash-attn", "2.8.3", file, tag="py3-none-any", needed=TORCH, code=["sm_80", "sm_90"])


@fault("E09", "TOR011", quick=False, says=["undefined symbol"])
def unknown_extension_of_another_torch(box):
    """Some compiled package that no table knows, for another torch."""
    extension(box, "my-fused-ops", "0.3", f"my_fused_ops_cuda.{SUFFIX}", symbols=[GONE], needed=TORCH)


@fault("E10", "TOR010", says=["no kernel"])
def vllm_without_kernels(box):
    """A vLLM whose own kernels end before this GPU, with a part for another GPU beside them."""
    box.gpu_machine(fakes.RTX_4090)
    extension(box, "vllm", "0.6.0", "vllm/_C.abi3.so", needed=TORCH, code=["sm_90a"])


@fault("E11", "TOR014", also=["TOR004"], says=["Jetson", "tegra"])
def server_torch_on_a_jetson(box):
    """The torch of the public index, a build without CUDA, on a Jetson board."""
    fakes.machine(box.root, {"/proc/sys/kernel/osrelease": "5.15.148-tegra\n"})
