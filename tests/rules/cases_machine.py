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
from envdoc.doctor.facts.surroundings import AccelerateConfig

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


def shaped(shape):
    """The machine with a token of that shape."""
    return M.but(named=NamedThings((), (("HF_TOKEN", shape),))).with_variables(HF_TOKEN="<set>")


def configured(values, base=M, **fields):
    """The machine with that configuration of accelerate."""
    keys = fields.pop("keys", ("distributed_type", *values))
    return base.surroundings(
        accelerate=AccelerateConfig("/home/user/default_config.yaml", values, keys, **fields)
    )


def compiling(**fields):
    """The machine with deepspeed, and that toolkit."""
    return M.installed(deepspeed="0.18.2").toolkit(**fields)


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
    "CFG080": [
        M.with_gpu(H100, 2).with_variables(NCCL_SOCKET_IFNAME="ib0"),
        V(GLOO_SOCKET_IFNAME="eth"),
    ],
    "CFG081": [
        V(HF_HUB_DOWNLOAD_TIMEOUT="10s"),
        V(HF_HUB_ETAG_TIMEOUT=""),
        V(LOCAL_RANK="zero"),
        V(ACCELERATE_GRADIENT_ACCUMULATION_STEPS="auto"),
    ],
    "CFG082": [
        V(OMP_NUM_THREADS="0"),
        V(OMP_NUM_THREADS="auto"),
        V(OMP_NUM_THREADS="512"),
        V(MKL_NUM_THREADS="-4"),
    ],
    "CFG083": [
        V(HF_ENDPOINT="mirror.example"),
        V(HF_ENDPOINT='"https://mirror.example"'),
        V(HF_ENDPOINT="https://mirror.example "),
        V(HF_ENDPOINT="https:///"),
    ],
    "CFG084": [shaped(s) for s in ("quoted", "bearer", "placeholder", "whitespace", "not ASCII", "path")],
    "CFG085": [
        named(NamedPath("REQUESTS_CA_BUNDLE", "missing", "/etc/ssl/certs/company-root-certificates.pem")),
        named(NamedPath("SSL_CERT_FILE", "not a file", "/etc/ssl")),
        named(NamedPath("PIP_CONSTRAINT", "missing", "/etc/pip/constraint.txt")),
        named(NamedPath("NCCL_TOPO_FILE", "missing", "/opt/topo.xml")),
    ],
    "CFG086": [
        named(NamedPath("HF_HOME", "closed", "/data/hf")),
        named(
            NamedPath("TORCHINDUCTOR_CACHE_DIR", "not a folder", "/data/a-name-that-is-longer-than-a-title")
        ),
    ],
    "CFG087": [
        V(HF_HOME='"/data/hf"'),
        V(HF_HUB_OFFLINE="'1'"),
        V(HF_HOME="$HOME/hf"),
        V(TORCHINDUCTOR_CACHE_DIR="$SCRATCH/a/folder/with/a/long/name"),
    ],
    "CFG088": [
        V(PIP_USER="1"),
        V(PIP_TARGET="/opt/a/folder/with/a/long/name"),
        V(PIP_PREFIX="/opt"),
        V(PIP_NO_DEPS="yes"),
        V(PIP_NO_BINARY=":all:"),
    ],
    "CFG089": [
        V(ALL_PROXY="socks5://proxy:1080"),
        V(https_proxy="socks5h://proxy:1080").installed(huggingface_hub="0.36.2"),
    ],
    "CFG090": [
        configured({}, problem="it is empty", keys=()),
        configured({}, problem="line 3 is a mark of a merge conflict"),
        configured(
            {}, keys=("distributed_type", "a_key_of_a_later_release"), known_keys=("distributed_type",)
        ),
        configured({"num_processes": "1"}, keys=("num_processes",)),
    ],
    "CFG091": [
        configured({"gpu_ids": "0,3"}),
        configured({"num_machines": "2"}),
        configured({"num_machines": "2", "main_process_ip": "null"}),
        configured({}, missing_files=("deepspeed_config_file: /gone/a/long/way/down/zero3.json",)),
    ],
    "CFG092": [
        V(ACCELERATE_MIXED_PRECISION="fp32"),
        M.with_gpu(GTX_1080).with_variables(ACCELERATE_MIXED_PRECISION="bf16"),
        V(ACCELERATE_USE_CPU="true"),
        V(ACCELERATE_USE_DEEPSPEED="true"),
        M.installed(deepspeed="0.18.2").with_variables(ACCELERATE_USE_DEEPSPEED="true"),
        V(ACCELERATE_USE_FSDP="True"),
    ],
    "CFG094": [
        V(PYTHONOPTIMIZE="1"),
        V(PYTHONOPTIMIZE="2"),
        V(PYTHONOPTIMIZE="2").installed(transformers="4.46.3"),
    ],
    "CFG095": [
        V(CUDA_FORCE_PTX_JIT="1"),
        V(PYTORCH_NO_CUDA_MEMORY_CACHING="1"),
        V(TRITON_INTERPRET="1"),
        V(TORCHDYNAMO_DISABLE="1"),
        V(CUDA_FORCE_PTX_JIT="1").torch(architectures=("sm_80", "compute_80")),
    ],
    "CFG096": [
        V(PYTORCH_CUDA_ALLOC_CONF="expandable_segments:true"),
        V(PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb=128"),
        V(PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb:8"),
        V(PYTORCH_ALLOC_CONF="garbage_collection_threshold:80"),
        V(PYTORCH_CUDA_ALLOC_CONF="backend:cudamallocasync"),
    ],
    "CFG098": [V(WANDB_MODE="disable").installed(wandb="0.22.0")],
    "CFG099": [V(HIP_VISIBLE_DEVICES="0")],
    "CFG105": [
        V(TORCH_LOGS="help"),
        V(TORCH_LOGS="'dynamo'"),
        V(TORCH_LOGS="+dynmo,graph_breaks"),
        V(TORCH_LOGS="dynamo graph"),
    ],
    "CFG106": [M.with_gpu(H100, 8).with_variables(NCCL_P2P_DISABLE="1")],
    "CFG100": [compiling(version="12.4", host_compiler_version="14.2.0")],
    "CFG101": [
        compiling(version="11.7"),
        compiling(version="13.0").with_gpu(GTX_1080),
    ],
    "CFG102": [
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="7.5;8.0;8.6"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="sm_90"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="8.0,9.0"),
    ],
    "CFG103": [compiling(home_has_nvcc=False)],
    "CFG104": [
        M.driver_files(in_loader_cache=False),
        M.driver_files(has_ldconfig=False),
    ],
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
    "CFG080": [
        M,
        V(NCCL_SOCKET_IFNAME="eth"),
        V(NCCL_SOCKET_IFNAME="^docker0,lo"),
        V(NCCL_SOCKET_IFNAME="=eth0", GLOO_SOCKET_IFNAME="eth0"),
        V(NCCL_SOCKET_IFNAME="ib,eth"),
    ],
    "CFG081": [M, V(HF_HUB_DOWNLOAD_TIMEOUT="30", LOCAL_RANK="-1")],
    "CFG082": [M, V(OMP_NUM_THREADS="8,4"), V(OMP_NUM_THREADS="1"), V(OMP_NUM_THREADS="52")],
    "CFG083": [M, V(HF_ENDPOINT="https://mirror.example/hub/"), V(HF_ENDPOINT="http://mirror:8080")],
    "CFG084": [M],
    "CFG085": [M],
    "CFG086": [
        M,
        named(NamedPath("HF_HOME", "closed", "/home/user/.cache/huggingface")).with_storage(
            "cache", writable=False
        ),  # SYS002's
    ],
    "CFG087": [M, V(PIP_EXTRA_INDEX_URL='"x"', LD_LIBRARY_PATH="$LD_LIBRARY_PATH:/opt/lib")],
    "CFG088": [
        M,
        V(PIP_USER="1").interpreter(is_virtual_environment=False),
        V(PIP_NO_BINARY="flash-attn", PIP_NO_DEPS="0", PIP_USER="0"),
    ],
    "CFG089": [
        M,
        V(ALL_PROXY="socks5://proxy:1080").installed(socksio="1.0.0"),
        V(HTTPS_PROXY="http://proxy:3128", ALL_PROXY="socks5://proxy:1080"),
    ],
    "CFG090": [
        configured({}, known_keys=("distributed_type", "fp8_config")),
        configured({}, keys=("distributed_type", "fp16"), known_keys=("distributed_type",)),
        configured({}, keys=("distributed_type", "new")),  # the installed release's keys are not known
    ],
    "CFG091": [
        configured({"gpu_ids": "all"}),
        configured({"gpu_ids": "0", "num_machines": "1"}),
        configured({"num_machines": "2", "main_process_ip": "10.0.0.1"}),
        configured({"num_machines": "2", "rdzv_backend": "c10d"}),
        configured({"gpu_ids": "0,1"}, NO_GPU),
    ],
    "CFG092": [
        M,
        V(ACCELERATE_MIXED_PRECISION="bf16"),
        V(ACCELERATE_USE_FSDP="false"),
        NO_GPU.with_variables(ACCELERATE_USE_CPU="true"),
    ],
    "CFG094": [M, V(PYTHONOPTIMIZE="")],
    "CFG095": [M, V(CUDA_FORCE_PTX_JIT="0", TRITON_INTERPRET="")],
    "CFG096": [
        M,
        V(
            PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True,garbage_collection_threshold:0.8,max_split_size_mb:512"
        ),
        V(PYTORCH_CUDA_ALLOC_CONF="roundup_power2_divisions:[256:1,512:2,>:8], backend:native"),
        V(PYTORCH_CUDA_ALLOC_CONF="an_option_of_tomorrow:1"),
    ],
    "CFG098": [M.installed(wandb="0.22.0"), V(WANDB_MODE="Offline").installed(wandb="0.22.0")],
    "CFG099": [M, V(HIP_VISIBLE_DEVICES="0", CUDA_VISIBLE_DEVICES="0")],
    "CFG105": [
        M,
        V(TORCH_LOGS="+dynamo,-inductor, graph_breaks"),
        V(TORCH_LOGS="torch._functorch,+my.own.module,transformers"),
        V(TORCH_LOGS="a_log_of_tomorrow").torch(version="2.15.0+cu130"),
    ],
    "CFG106": [
        M.with_gpu(H100, 8).with_variables(NCCL_P2P_DISABLE="0"),
        M.with_gpu(RTX_4090, 2).with_variables(NCCL_P2P_DISABLE="1", NCCL_IB_DISABLE="1"),
    ],
    "CFG100": [compiling(version="12.4", host_compiler_version="13.3.0")],
    "CFG101": [compiling(version="12.4"), compiling(version="12.4").with_gpu(GTX_1080)],
    "CFG102": [
        compiling(),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="7.5 8.0 8.6 9.0 10.0 12.0+PTX"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="8.0+PTX"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="9.0a"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="Hopper"),
    ],
    "CFG103": [compiling(home_has_nvcc=True)],
    "CFG104": [
        M,
        M.driver_files(in_loader_cache=False).with_variables(TRITON_LIBCUDA_PATH=LIBRARIES),
        M.driver_files(in_loader_cache=False).with_variables(LD_LIBRARY_PATH=f"/opt/lib:{LIBRARIES}"),
    ],
}
