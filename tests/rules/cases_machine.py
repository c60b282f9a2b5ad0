"""For each rule about driver files, GPU health, limits, folders and values: machines that fail and pass."""

from rule_machines import GTX_1080, H100, RTX_4090, machine

from envdoc.doctor.facts.snapshot import (
    DriverFiles,
    DriverLibrary,
    GpuHealth,
    NamedPath,
    NamedThings,
    PciDevice,
    System,
)

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
NAMES = ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1")
OWN = tuple(DriverLibrary(f"{LIBRARIES}/{name}", "580.95.05") for name in NAMES)
GIB = 1 << 30

M = machine().but(
    driver_files=DriverFiles(OWN, has_dxg=False, in_loader_cache=True, has_ldconfig=True),
    gpu_health=(GpuHealth(0, 41, 87, 700.0, 700.0, (), False, False),),
    system=System(
        limits={"memlock": 8 << 20, "stack": 8 << 20},
        libc="glibc",
        cpu_model="Intel(R) Xeon(R) Platinum 8480C",
        cpu_flags=("sse4_1", "sse4_2", "popcnt", "ssse3", "avx", "avx2", "fma", "avx512f"),
        memory_available_bytes=200 * GIB,
        overcommit_memory=0,
        commit_left_bytes=100 * GIB,
        processes_left=30000,
        network_interfaces=("eth0", "lo"),
        has_cpp_runtime=True,
        user_id=1000,
        home_owner_id=1000,
    ),
)
CONTAINER = M.host(container="docker")
WSL = M.host(is_wsl=True, kernel="5.15.153.1-microsoft-standard-WSL2").driver(
    kernel_module_version="", libcuda="/usr/lib/wsl/lib/libcuda.so.1"
)
NO_GPU = M.but(gpus=(), pci_devices=(), gpu_health=())
UNSERVED = M.but(gpus=(), gpu_health=())  # the bus shows a GPU, NVML none
RTX_5090 = PciDevice("0000:01:00.0", "0x2b85", "nvidia")
P100 = PciDevice("0000:04:00.0", "0x15f8", "nvidia")
LOST = CONTAINER.driver(cuda_init_code=999, nvml_error="nvmlInit_v2 returned 999 (Unknown Error)")


def health(**state):
    """The machine whose GPU is in that state."""
    return M.but(gpu_health=(GpuHealth(0, **state),))


def visible(value, unmatched=(), count=1):
    """The machine with that many GPUs and that CUDA_VISIBLE_DEVICES."""
    return (
        M.with_gpu(H100, count)
        .driver_files(visible_unmatched=unmatched)
        .with_variables(CUDA_VISIBLE_DEVICES=value)
    )


def named(*paths, **variables):
    """The machine with these paths found wanting."""
    return M.but(named=NamedThings(paths)).with_variables(**variables)


V = M.with_variables
FAILING = {
    "DRV020": [
        LOST,
        CONTAINER.driver(cuda_init_code=100).driver_files(control_error="EPERM"),
    ],
    "DRV021": [
        M.driver(libcuda="/usr/local/cuda/lib64/stubs/libcuda.so", cuda_init_code=34),
        M.driver(libcuda="/usr/local/cuda-12.1/compat/libcuda.so.530.30.02", cuda_init_code=803),
        WSL.driver(libcuda=f"{LIBRARIES}/libcuda.so.535.183.01", cuda_init_code=100),
        CONTAINER.driver(libcuda=f"{LIBRARIES}/libcuda.so.535.183.01", cuda_init_code=803),
        CONTAINER.driver(libcuda=f"{LIBRARIES}/libcuda.so.535.183.01", cuda_init_code=None),
    ],
    "DRV022": [
        NO_GPU.driver(nvml_error="libnvidia-ml.so.1: no; `nvidia-smi` did not answer within 10 s."),
        NO_GPU.driver(nvml_error="`nvidia-smi` ended with exit status 0 and told no GPU: \ufffd\ufffd."),
        NO_GPU.driver(
            nvml_error="`nvidia-smi` ended with exit status 9 and told no GPU: NVIDIA-SMI has failed because it "
            "couldn't communicate with the NVIDIA driver."
        ),
        NO_GPU.driver(
            nvml_error="`nvidia-smi` ended with exit status 6 and told no GPU: No devices were found"
        ),
    ],
    "DRV023": [
        M.driver(libcuda="", libcuda_error="file too short", cuda_init_code=None).driver_files(
            libraries=(DriverLibrary(f"{LIBRARIES}/libcuda.so.1", "", False), *OWN[1:])
        ),
        M.driver(nvml_error="nvmlInit_v2 returned 9").driver_files(
            libraries=(OWN[0], DriverLibrary(f"{LIBRARIES}/libnvidia-ml.so.1", "535.183.01"))
        ),
    ],
    "DRV024": [
        WSL.but(gpus=()).driver(cuda_init_code=None, libcuda=""),
        WSL.but(gpus=()).host(kernel="4.4.0-19041-Microsoft").driver(cuda_init_code=None, libcuda=""),
    ],
    "DRV025": [
        CONTAINER.but(gpus=())
        .driver(libcuda="", cuda_init_code=None)
        .with_variables(NVIDIA_DRIVER_CAPABILITIES="graphics,utility"),
        CONTAINER.but(gpus=()).driver(libcuda="").with_variables(NVIDIA_VISIBLE_DEVICES="void"),
    ],
    "DRV026": [
        UNSERVED.but(pci_devices=(RTX_5090,)).driver(is_open_kernel_module=False, cuda_init_code=100),
        UNSERVED.but(pci_devices=(P100,)).driver(is_open_kernel_module=True, cuda_init_code=100),
    ],
    "DRV027": [
        UNSERVED.but(pci_devices=(P100,)).driver(
            version="595.71.05", kernel_module_version="595.71.05", cuda_init_code=100
        )
    ],
    "DRV028": [
        M.torch(architectures=("sm_70", "compute_80")).driver_files(libraries=OWN[:2]),
    ],
    "GPU010": [
        visible('"0"'),
        visible("all"),
        visible("cuda:0"),
        visible("0,0", count=2),
        visible("0,one", count=2),
        visible("0;1", count=2),
        visible("GPU-0123abcd", unmatched=(0,)),
    ],
    "GPU011": [
        health(remap_pending=True, remap_failed=False),
        health(remap_failed=True),
        health(retirement_pending=True),
    ],
    "GPU012": [
        health(slowed_by=("thermal",), temperature_celsius=91),
        health(temperature_celsius=95, slowdown_celsius=93),
    ],
    "GPU013": [health(power_limit_watts=300.0, power_default_watts=700.0)],
    "GPU014": [
        M.but(
            gpus=(
                H100.__class__(
                    **{**vars(H100), "compute_mode": "exclusive_process", "memory_used_bytes": 30 * GIB}
                ),
            )
        ),
    ],
    "SYS025": [M.system(libc="musl").but(torch=None).host(distribution="Alpine Linux v3.20", glibc="")],
    "SYS026": [
        M.system(cpu_flags=("ssse3",), cpu_model="QEMU Virtual CPU version 2.5+"),
        M.system(cpu_flags=("ssse3",), cpu_model="").installed(numpy="1.26.4"),
        M.system(cpu_flags=("sse4_1", "sse4_2", "popcnt", "ssse3")),
    ],
    "SYS027": [
        M.system(limits={"fsize": 1 << 30}),
        M.system(limits={"cpu": 1800}),
        M.system(limits={"cpu": 60}),
        M.system(limits={"data": 4 * GIB}),
        M.system(limits={"stack": 256 << 10}),
    ],
    "SYS028": [M.system(overcommit_memory=2, commit_left_bytes=GIB)],
    "SYS029": [
        M.system(memory_available_bytes=GIB),
        M.system(memory_available_bytes=GIB, huge_pages_bytes=200 * GIB),
        NO_GPU.system(memory_available_bytes=GIB),
    ],
    "SYS030": [M.system(processes_left=40)],
    "SYS031": [
        named(NamedPath("TRITON_CACHE_DIR", "noexec", "/home/user/.triton/cache")),
        named(NamedPath("TORCH_EXTENSIONS_DIR", "noexec", "/mnt/x"), TORCH_EXTENSIONS_DIR="/mnt/x"),
    ],
    "SYS032": [
        M.with_storage("cache", path="/dev/shm/hub", file_system="tmpfs"),
        WSL.with_storage("cache", path="/mnt/c/hub", file_system="9p"),
    ],
    "SYS033": [M.system(foreign_cache_entries=3)],
    "SYS034": [M.host(kernel="4.18.0-553.el8_10.x86_64")],
    "SYS035": [
        M.system(has_cpp_runtime=False),
        M.system(has_cpp_runtime=False).host(distribution="Fedora 42"),
    ],
    "SYS036": [M.but(taken_at="2098-01-01T00:00:00Z")],
    "SYS037": [M.system(unwritable_devices=("/dev/null",))],
}

COMPAT = "/usr/local/cuda/compat/lib.real"
PASSING = {
    "DRV020": [
        CONTAINER,
        CONTAINER.driver_files(control_error="EPERM"),
        CONTAINER.driver(cuda_init_code=100),
    ],
    "DRV021": [
        M,
        M.driver(libcuda=f"{COMPAT}/libcuda.so.590.44.01", cuda_init_code=0),
        M.driver(libcuda=f"{COMPAT}/libcuda.so.590.44.01", cuda_init_code=804),  # DRV006's
        WSL,
        WSL.host(container="docker").driver(libcuda=f"{LIBRARIES}/libcuda.so.1.1"),
        M.driver(libcuda=f"{LIBRARIES}/libcuda.so.570.26", cuda_init_code=803),  # an update: DRV004's
    ],
    "DRV022": [
        M,
    ],
    "DRV023": [
        M,
        M.driver_files(
            libraries=(*OWN, DriverLibrary("/usr/local/cuda/compat/libcuda.so.1", "535.54.03"))
        ).driver(cuda_init_code=100),
        M.driver_files(libraries=(*OWN, DriverLibrary("/opt/old/libcuda.so.1", "", False))),
    ],
    "DRV024": [WSL, WSL.but(gpus=()).driver_files(has_dxg=True).driver(cuda_init_code=100)],
    "DRV025": [
        CONTAINER.with_variables(NVIDIA_DRIVER_CAPABILITIES="utility"),
        CONTAINER.but(gpus=()).with_variables(NVIDIA_VISIBLE_DEVICES="all", NVIDIA_DRIVER_CAPABILITIES="all"),
        CONTAINER.but(gpus=(), pci_devices=())
        .driver(kernel_module_version="")
        .with_variables(NVIDIA_VISIBLE_DEVICES="void"),
    ],
    "DRV026": [M, M.driver(is_open_kernel_module=False), UNSERVED.driver(is_open_kernel_module=False)],
    "DRV027": [
        M,
        UNSERVED.but(pci_devices=(P100,)).driver(cuda_init_code=100),
        M.with_gpu(GTX_1080).driver(version="590.44.01"),
    ],
    "DRV028": [M, M.torch(architectures=("sm_70", "compute_80"))],
    "GPU010": [
        M,
        visible("0"),
        visible("0, 1", count=2),
        visible("0,1,-1", count=4),
        visible("0,1,", count=2),
        visible("GPU-0123abcd"),
        visible("MIG-GPU-0123/1/0"),
        visible("7"),  # GPU002's
    ],
    "GPU011": [M],
    "GPU012": [M, health(temperature_celsius=84, slowdown_celsius=87)],
    "GPU013": [M, health(power_limit_watts=350.0, power_default_watts=450.0)],
    "GPU014": [M, M.with_gpu(RTX_4090)],
    "SYS025": [M, M.system(libc="musl")],
    "SYS026": [M],
    "SYS027": [M],
    "SYS028": [M, M.system(overcommit_memory=2)],
    "SYS029": [M],
    "SYS030": [M, M.system(processes_left=None)],
    "SYS031": [
        M,
        named(NamedPath("TRITON_CACHE_DIR", "noexec", "/home/user/.triton")).installed(triton=None),
    ],
    "SYS032": [M, M.with_storage("cache", file_system="overlay"), M.with_storage("cache", file_system="9p")],
    "SYS033": [M],
    "SYS034": [M, M.host(kernel="4.18.0-553").installed(accelerate=None)],
    "SYS035": [M],
    "SYS036": [M.but(taken_at="2026-11-24T10:00:00Z")],
    "SYS037": [M],
}
