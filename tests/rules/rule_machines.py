"""Machines for the tests of rules: one healthy machine, and ways to change it field by field."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Tuple

from envdoc.doctor.facts.snapshot import (
    BitsandbytesBuild,
    BitsandbytesLibrary,
    DeviceNode,
    Driver,
    Gpu,
    Host,
    Interpreter,
    Jupyter,
    Kernel,
    Package,
    PciDevice,
    Snapshot,
    Storage,
    Toolkit,
    TorchBuild,
    TransformersBuild,
    from_json,
)

SITE = "/home/user/env/lib/python3.12/site-packages"
RECORDED = Path(__file__).parent.parent / "snapshots"

REQUIRES = {
    "accelerate": (
        "numpy>=1.17,<3.0.0",
        "torch>=2.0.0",
        "huggingface_hub>=0.21.0",
        'pytest>=7; extra == "testing"',
    ),
    "peft": ("numpy>=1.17", "torch>=1.13.0", "transformers", "accelerate>=0.21.0", "safetensors"),
    "transformers": (
        "huggingface-hub<3.0,>=1.31.0",
        "numpy>=1.17",
        "tokenizers<=0.24.0,>=0.23.1",
        "safetensors>=0.8.0",
    ),
    "tokenizers": ("huggingface-hub<3.0,>=0.16.4",),
    "torch": (
        "numpy; extra == 'numpy'",
        'nvidia-nccl-cu13==2.28.9; platform_system == "Linux"',
        "triton==3.6.0",
    ),
    "bitsandbytes": ("torch<3,>=2.4", "numpy>=1.17"),
}
VERSIONS = {
    "accelerate": "1.15.0",
    "bitsandbytes": "0.50.2",
    "huggingface-hub": "2.4.0",
    "numpy": "2.4.6",
    "nvidia-cudnn-cu13": "9.19.0.56",
    "nvidia-nccl-cu13": "2.28.9",
    "peft": "0.21.2",
    "safetensors": "0.8.0",
    "setuptools": "84.2.1",
    "tokenizers": "0.23.3",
    "torch": "2.11.0",
    "torchvision": "0.26.0+cu130",
    "transformers": "5.23.0",
    "triton": "3.6.0",
    "urllib3": "2.6.0",
}
H100 = Gpu(0, "NVIDIA H100 80GB HBM3", "9.0", 81559 << 20, 4 << 20, False, True, 0, "0000:3b:00.0", "default")
RTX_4090 = Gpu(
    0, "NVIDIA GeForce RTX 4090", "8.9", 24564 << 20, 1 << 20, None, None, None, "0000:01:00.0", "default"
)
GTX_1080 = Gpu(
    0, "NVIDIA GeForce GTX 1080", "6.1", 8119 << 20, 1 << 20, None, None, None, "0000:01:00.0", "default"
)
BINARIES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")


def healthy() -> Snapshot:
    """One H100, driver 580, torch 2.11 with CUDA 13.0 and the libraries of its time: no rule has anything to say."""
    return Snapshot(
        interpreter=Interpreter(
            path="/home/user/env/bin/python",
            version="3.12.3",
            prefix="/home/user/env",
            base_prefix="/usr",
            is_virtual_environment=True,
            system="Linux",
            machine="x86_64",
            site_packages=(SITE,),
            sys_path=(SITE,),
            user_site="/home/user/.local/lib/python3.12/site-packages",
            has_pip=True,
            openssl_version="OpenSSL 3.0.13 30 Jan 2024",
        ),
        packages=tuple(package(name, version) for name, version in VERSIONS.items()),
        torch=TorchBuild("2.11.0+cu130", "13.0", None, BINARIES, SITE + "/torch"),
        bitsandbytes=BitsandbytesBuild("0.50.2", SITE + "/bitsandbytes", libraries("12.6", "12.8", "13.0")),
        transformers=TransformersBuild(
            "5.23.0",
            (("accelerate", "accelerate>=1.1.0"), ("peft", "peft>=0.20.0"), ("torch", "torch>=2.6")),
            "2.6",
        ),
        driver=Driver(
            version="580.95.05",
            source="/sys/module/nvidia/version",
            cuda="13.0",
            libcuda="/usr/lib/x86_64-linux-gnu/libcuda.so.1",
            cuda_init_code=0,
            nvml_version="580.95.05",
            kernel_module_version="580.95.05",
            nvidia_smi="/usr/bin/nvidia-smi",
            is_open_kernel_module=True,
        ),
        gpus=(H100,),
        pci_devices=(PciDevice("0000:3b:00.0", "0x2330", "nvidia"),),
        device_nodes=tuple(map(DeviceNode, ("/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"))),
        toolkit=Toolkit(
            "/usr/local/cuda/bin/nvcc", "13.0", "/usr/local/cuda", True, "/usr/bin/gcc", "13.3.0"
        ),
        variables={"HOME": "/home/user", "LANG": "C.UTF-8", "PATH": "/home/user/env/bin:/usr/bin:/bin"},
        storage=(
            Storage("home", "/home/user", True, True, 10**12, 6 * 10**11, 10**7, "ext4"),
            Storage(
                "cache", "/home/user/.cache/huggingface/hub", True, True, 10**12, 6 * 10**11, 10**7, "ext4"
            ),
            Storage("tmp", "/tmp", True, True, 10**12, 6 * 10**11, 10**7, "ext4"),
            Storage("work", "/home/user/work", True, True, 10**12, 6 * 10**11, 10**7, "ext4"),
            Storage("envdoc", "/home/user/.envdoc", True, True, 10**12, 6 * 10**11, 10**7, "ext4"),
            Storage("shm", "/dev/shm", True, True, 64 << 30, 64 << 30, 10**6, "tmpfs"),
        ),
        host=Host(
            distribution="Ubuntu 24.04.1 LTS",
            kernel="6.8.0-48-generic",
            glibc="2.39",
            cpu_count=26,
            memory_bytes=240 << 30,
            open_files_limit=1048576,
            locale_encoding="UTF-8",
        ),
        jupyter=Jupyter("4.4.0", False, (Kernel("python3", "/home/user/env/bin/python3"),)),
    )


def package(name: str, version: str, **fields: Any) -> Package:
    """An installed distribution; the requirements of those that tests change are real ones of their time."""
    defaults: dict = {"location": SITE, "requires": REQUIRES.get(name, ()), "installer": "uv"}
    return Package(name, version, **{**defaults, **fields})


def libraries(*cudas: str, architectures: Tuple[str, ...] = BINARIES) -> Tuple[BitsandbytesLibrary, ...]:
    """bitsandbytes' libraries for these CUDA releases."""
    return tuple(
        BitsandbytesLibrary(
            f"libbitsandbytes_cuda{cuda.replace('.', '')}.so", "cuda", cuda, 10**7, architectures
        )
        for cuda in cudas
    )


@dataclass(frozen=True)
class Machine:
    """A snapshot with short ways to change it: `Machine().driver(version="470").snapshot`."""

    snapshot: Snapshot

    def __getattr__(self, field: str) -> Any:
        """A function that replaces fields of one of the snapshot's dataclasses."""
        if field.startswith("__"):
            raise AttributeError(field)
        return lambda **changes: self.but(**{field: replace(getattr(self.snapshot, field), **changes)})

    def but(self, **changes: Any) -> "Machine":
        """The machine with whole fields replaced."""
        return Machine(replace(self.snapshot, **changes))

    def installed(self, **versions: Any) -> "Machine":
        """The machine with these versions installed; None removes one. Underscores stand for hyphens."""
        wanted = {name.replace("_", "-"): version for name, version in versions.items()}
        kept = tuple(p for p in self.snapshot.packages if p.name not in wanted)
        added = tuple(package(name, version) for name, version in wanted.items() if version is not None)
        return self.but(packages=kept + added)

    def changed_package(self, name: str, **fields: Any) -> "Machine":
        """The machine with fields of one distribution replaced."""
        return self.but(
            packages=tuple(replace(p, **fields) if p.name == name else p for p in self.snapshot.packages)
        )

    def with_variables(self, **values: str) -> "Machine":
        """The machine with these environment variables set as well."""
        return self.but(variables={**self.snapshot.variables, **values})

    def with_storage(self, purpose: str, **fields: Any) -> "Machine":
        """The machine with fields of one folder replaced."""
        return self.but(
            storage=tuple(replace(s, **fields) if s.purpose == purpose else s for s in self.snapshot.storage)
        )

    def without_gpu(self) -> "Machine":
        """The machine without GPU, driver and device nodes."""
        return self.but(gpus=(), pci_devices=(), device_nodes=(), driver=Driver())

    def with_gpu(self, gpu: Gpu, count: int = 1) -> "Machine":
        """The machine with these GPUs instead of its own."""
        return self.but(gpus=tuple(replace(gpu, index=index) for index in range(count)))


def machine() -> Machine:
    """The healthy machine, ready to be changed."""
    return Machine(healthy())


def recorded(name: str) -> Snapshot:
    """The snapshot in tests/snapshots/NAME.json."""
    return from_json((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


def recorded_names() -> Tuple[str, ...]:
    """The names of every recorded snapshot."""
    return tuple(
        sorted(
            path.stem for path in RECORDED.glob("*.json") if "schema_version" in json.loads(path.read_text())
        )
    )
