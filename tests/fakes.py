"""A driver, GPUs and a machine's files that are not there: for tests of every room (`import fakes`).

The libraries are real ones, written in C (tests/facts/fakes) and compiled when first needed; what they say is told by
environment variables. Nothing of envdoc is replaced: it loads them by ENVDOC_NVML_LIB and ENVDOC_LIBCUDA and reads
/sys, /proc, /dev, /etc and /run below ENVDOC_ROOT.
"""

import atexit
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional, Sequence

SOURCES = Path(__file__).parent / "facts" / "fakes"

# name | capability | memory MiB | MIG | ECC | uncorrected errors | compute mode | PCI id
H100 = "NVIDIA H100 80GB HBM3|9.0|81559|0|1|0|0|00000000:3B:00.0"
RTX_4090 = "NVIDIA GeForce RTX 4090|8.9|24564|-|-|0|0|00000000:01:00.0"
P100 = "Tesla P100-PCIE-16GB|6.0|16384|-|1|0|0|00000000:04:00.0"


@lru_cache(maxsize=None)
def library(name: str) -> Path:
    """The shared library of tests/facts/fakes/NAME.c ("nvml" or "cuda"), compiled once a process."""
    folder = Path(tempfile.mkdtemp(prefix="envdoc-fakes-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "The fake driver needs a C compiler: install gcc."
    target = folder / f"lib{name}.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(SOURCES / f"{name}.c")],
        check=True,
    )
    return target


def driver_variables(
    gpus: Iterable[str] = (H100,), version: str = "580.95.05", cuda: int = 13000
) -> Dict[str, str]:
    """The environment in which envdoc finds these GPUs and a driver of this version that serves this CUDA.

    Add to it what the C sources describe: FAKE_CUDA_INIT, FAKE_CUDA_HANG, FAKE_NVML_INIT, FAKE_THROTTLE...
    """
    return {
        "ENVDOC_NVML_LIB": str(library("nvml")),
        "ENVDOC_LIBCUDA": str(library("cuda")),
        "FAKE_GPUS": ";".join(gpus),
        "FAKE_DRIVER_VERSION": version,
        "FAKE_CUDA_VERSION": str(cuda),
    }


def no_driver_variables(root: Path) -> Dict[str, str]:
    """The environment of a machine without a driver, also where the tests run on one that has it."""
    return {
        "ENVDOC_NVML_LIB": "/nonexistent/libnvidia-ml.so.1",
        "ENVDOC_LIBCUDA": "/nonexistent/libcuda.so.1",
        "ENVDOC_ROOT": str(root),
    }


def machine(root: Path, files: Mapping[str, str] = {}, driver: Optional[str] = None) -> Path:
    """A folder for ENVDOC_ROOT with those files (absolute names); with the kernel module of that driver loaded."""
    contents = {"/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', **files}
    if driver:
        contents.setdefault("/sys/module/nvidia/version", driver + "\n")
        contents.setdefault(
            "/proc/driver/nvidia/version",
            f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {driver}  Release Build  (dvs-builder)\n"
            "GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n",
        )
        for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
            contents.setdefault(f"/dev/{node}", "")
    for name, text in contents.items():
        path = Path(str(root) + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def pci_device(root: Path, address: str, device_id: str, driver: str = "", kind: str = "0x030200") -> None:
    """An NVIDIA device on the PCI bus of that machine; `driver` is the kernel's ("nvidia", "nouveau", none)."""
    folder = root / "sys/bus/pci/devices" / address
    folder.mkdir(parents=True)
    for name, value in (("vendor", "0x10de"), ("device", device_id), ("class", kind)):
        (folder / name).write_text(value + "\n")
    if driver:
        target = root / "sys/bus/pci/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        (folder / "driver").symlink_to(target)


def program(folder: Path, name: str, body: str) -> Path:
    """An executable shell script of that name, for a PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + body + "\n")
    path.chmod(0o755)
    return path


def shared_library(
    target: Path, data: bytes = b"", strings: Sequence[str] = (), section: str = ".nv_fatbin"
) -> Path:
    """A real ELF library with `data` in `section` and `strings` in .rodata: stands for one of torch's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    blob, source = target.with_suffix(".bin"), target.with_suffix(".c")
    blob.write_bytes(data)
    lines = [f'const char string_{i}[] = "{text}";' for i, text in enumerate(strings)]
    if data:
        lines.append(
            f'__asm__(".section {section},\\"a\\"\\n.balign 8\\n.incbin \\"{blob}\\"\\n.previous\\n");'
        )
    source.write_text("\n".join(lines) + "\n")
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "The fake libraries need a C compiler: install gcc."
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(target), str(source)], check=True)
    blob.unlink()
    source.unlink()
    return target


def torch_package(site: Path, version: str, cuda: Optional[str], architectures: str = "") -> Path:
    """torch as its files describe it in `site`: version.py, the libraries, and the list that it was compiled with."""
    folder = site / "torch"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('torch was imported')\n")
    (folder / "version.py").write_text(f"__version__ = {version!r}\ncuda = {cuda!r}\nhip = None\n")
    shared_library(
        folder / "lib" / "libtorch_python.so", strings=[architectures] if architectures else ["none"]
    )
    names = ["libc10.so", "libtorch_cpu.so", *(["libc10_cuda.so", "libtorch_cuda.so"] if cuda else [])]
    for name in names:
        shared_library(folder / "lib" / name, strings=["whole"])
    distribution = site / f"torch-{version.split('+')[0]}.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: torch\nVersion: {version.split('+')[0]}\n\n"
    )
    return folder
