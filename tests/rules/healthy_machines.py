"""Healthy machines of kinds that people rent, put together from what such machines show: nothing is wrong with them.

The variables, limits and folders are those that the providers' images and schedulers set; each was a candidate for a
false alarm.
"""

from dataclasses import replace

from cases_machine import GIB, OWN, M
from rule_machines import H100, RTX_4090, libraries, package

from envdoc.doctor.facts.snapshot import (
    DeviceNode,
    DriverFiles,
    DriverLibrary,
    Gpu,
    GpuHealth,
    Host,
    Jupyter,
    Kernel,
    PciDevice,
    Snapshot,
    Storage,
    Toolkit,
    TorchBuild,
)

T4 = Gpu(0, "Tesla T4", "7.5", 15360 << 20, 3 << 20, None, True, 0, "0000:00:04.0", "default")
FLAGS = ("sse4_1", "sse4_2", "popcnt", "ssse3", "avx", "avx2", "fma", "avx512f")
CUDA_128 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")


def place(purpose: str, path: str, file_system: str, gigabytes: int) -> Storage:
    """A folder with that much room left."""
    return Storage(purpose, path, True, True, 2 * gigabytes * 10**9, gigabytes * 10**9, 10**7, file_system)


def slurm_hgx() -> Snapshot:
    """Two of the eight H100 of an HGX node, in an interactive job of Slurm: exclusive mode, a scratch disk, 4.18."""
    gpus = tuple(replace(H100, index=i, compute_mode="exclusive_process") for i in range(2))
    scratch = "/scratch/user/4711"
    return (
        M.but(
            gpus=gpus,
            gpu_health=tuple(GpuHealth(i, 34, 87, 700.0, 700.0, (), False, False) for i in range(2)),
            pci_devices=tuple(PciDevice(f"0000:{i:02x}:00.0", "0x2330", "nvidia") for i in range(8)),
            device_nodes=(
                DeviceNode("/dev/nvidia-uvm"),
                DeviceNode("/dev/nvidia0"),
                DeviceNode("/dev/nvidia1"),
                DeviceNode("/dev/nvidia2", False, False),  # another job's
                DeviceNode("/dev/nvidiactl"),
            ),
            storage=(
                place("home", "/home/user", "nfs4", 80),
                place("cache", scratch + "/hf/hub", "lustre", 20000),
                place("tmp", scratch + "/tmp", "xfs", 2000),
                place("work", "/home/user/work", "nfs4", 80),
                place("envdoc", "/home/user/.envdoc", "nfs4", 80),
                Storage("shm", "/dev/shm", True, True, 1000 * GIB, 900 * GIB, 10**7, "tmpfs"),
            ),
            host=Host(
                "Rocky Linux 9.4 (Blue Onyx)",
                "5.14.0-427.el9.x86_64",
                "2.34",
                cpu_count=26,
                memory_bytes=2000 * GIB,
                memory_limit_bytes=480 * GIB,
                open_files_limit=131072,
                locale_encoding="UTF-8",
            ),
        )
        .system(
            limits={"memlock": 64 << 10, "stack": 8 << 20},
            memory_available_bytes=470 * GIB,
            network_interfaces=("eno1", "ib0", "ib1", "lo"),
            processes_left=None,
        )
        .driver(is_open_kernel_module=False)
        .with_variables(
            SLURM_JOB_ID="4711",
            CUDA_VISIBLE_DEVICES="0,1",
            CUDA_DEVICE_ORDER="PCI_BUS_ID",
            OMP_NUM_THREADS="26",
            TMPDIR=scratch + "/tmp",
            HF_HOME=scratch + "/hf",
            NCCL_SOCKET_IFNAME="ib0",
            NCCL_DEBUG="WARN",
            ROCR_VISIBLE_DEVICES="0,1",
            PMI_SIZE="1",
        )
        .surroundings(variable_names=("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "HF_HOME", "NCCL_DEBUG"))
        .snapshot
    )


def runpod_4090() -> Snapshot:
    """A pod of a marketplace: root in docker, an RTX 4090, the cache on the pod's volume, a quota on processors."""
    return (
        M.with_gpu(RTX_4090)
        .but(
            gpu_health=(GpuHealth(0, 38, 92, 400.0, 450.0, ()),),
            pci_devices=tuple(PciDevice(f"0000:{i:02x}:00.0", "0x2684", "nvidia") for i in (1, 33, 65, 97)),
            device_nodes=tuple(map(DeviceNode, ("/dev/nvidia-uvm", "/dev/nvidia2", "/dev/nvidiactl"))),
            torch=TorchBuild(
                "2.8.0+cu128", "12.8", None, CUDA_128, "/usr/local/lib/python3.11/dist-packages/torch"
            ),
            bitsandbytes=replace(M.snapshot.bitsandbytes, libraries=libraries("12.6", "12.8")),
            toolkit=Toolkit(
                "/usr/local/cuda/bin/nvcc", "12.8", "/usr/local/cuda", True, "/usr/bin/gcc", "11.4.0", True
            ),
            storage=(
                place("home", "/root", "overlay", 30),
                place("cache", "/workspace/hf/hub", "fuse", 200),
                place("tmp", "/tmp", "overlay", 30),
                place("work", "/workspace", "fuse", 200),
                place("envdoc", "/root/.envdoc", "overlay", 30),
                Storage("shm", "/dev/shm", True, True, 29 * GIB, 29 * GIB, 10**6, "tmpfs"),
            ),
            host=Host(
                "Ubuntu 22.04.5 LTS",
                "6.8.0-57-generic",
                "2.35",
                "docker",
                cpu_count=128,
                cpu_limit=16.0,
                memory_bytes=503 * GIB,
                memory_limit_bytes=62 * GIB,
                open_files_limit=1048576,
                locale_encoding="UTF-8",
            ),
            jupyter=Jupyter("4.4.0", True, (Kernel("python3", "python3"),)),
        )
        .installed(torch="2.8.0", torchvision="0.23.0+cu128", nvidia_nccl_cu13=None, nvidia_cudnn_cu13=None)
        .changed_package("torch", requires=())
        .system(
            limits={"memlock": 64 << 10, "stack": 8 << 20},
            memory_available_bytes=60 * GIB,
            user_id=0,
            home_owner_id=0,
            processes_left=30000,
        )
        .with_variables(
            HOME="/root",
            HF_HOME="/workspace/hf",
            HF_TOKEN="<set>",
            NVIDIA_VISIBLE_DEVICES="GPU-01234567",
            NVIDIA_DRIVER_CAPABILITIES="compute,utility",
            HF_HUB_ENABLE_HF_TRANSFER="0",
            LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
        )
        .snapshot
    )


def colab_t4() -> Snapshot:
    """A notebook with a Tesla T4: libcuda in a folder that ldconfig does not know, TensorFlow's variables, root."""
    folder = "/usr/lib64-nvidia"
    library_path = ":".join((folder, "/opt/lib"))
    base = runpod_4090()
    return (
        M.but(
            gpus=(T4,),
            gpu_health=(GpuHealth(0, 44, 93, 70.0, 70.0, (), retirement_pending=False),),
            driver_files=DriverFiles(
                tuple(DriverLibrary(f"{folder}/{lib.path.rpartition('/')[2]}", "550.54.15") for lib in OWN),
                has_dxg=False,
                in_loader_cache=False,
                has_ldconfig=True,
            ),
            pci_devices=(PciDevice("0000:00:04.0", "0x1eb8", "nvidia"),),
            torch=TorchBuild(
                "2.6.0+cu124", "12.4", None, ("sm_50", "sm_75", "sm_80", "sm_90"), "/usr/lib/torch"
            ),
            bitsandbytes=base.bitsandbytes,
            toolkit=Toolkit("/usr/local/cuda/bin/nvcc", "12.5", "", None, "/usr/bin/gcc", "11.4.0"),
            storage=(
                place("home", "/root", "overlay", 70),
                place("cache", "/root/.cache/huggingface/hub", "overlay", 70),
                place("tmp", "/tmp", "overlay", 70),
                place("work", "/content", "overlay", 70),
                place("envdoc", "/root/.envdoc", "overlay", 70),
                Storage("shm", "/dev/shm", True, True, 6 * GIB, 6 * GIB, 10**6, "tmpfs"),
            ),
            host=Host(
                "Ubuntu 22.04.4 LTS",
                "6.1.123+",
                "2.35",
                "docker",
                cpu_count=2,
                memory_bytes=13 * GIB,
                open_files_limit=1048576,
                locale_encoding="UTF-8",
            ),
            jupyter=Jupyter("", True, (Kernel("python3", "python3"),)),
        )
        .installed(
            torch="2.6.0",
            torchvision="0.21.0+cu124",
            triton="3.2.0",
            nvidia_nccl_cu13=None,
            nvidia_cudnn_cu13=None,
        )
        .changed_package("torch", requires=())
        .driver(
            version="550.54.15",
            kernel_module_version="550.54.15",
            nvml_version="550.54.15",
            cuda="12.4",
            libcuda=f"{folder}/libcuda.so.550.54.15",
            is_open_kernel_module=False,
        )
        .system(memory_available_bytes=11 * GIB, user_id=0, home_owner_id=0, limits={"stack": 8 << 20})
        .with_variables(
            HOME="/root",
            COLAB_RELEASE_TAG="release-colab",
            LD_LIBRARY_PATH=library_path,
            NVIDIA_VISIBLE_DEVICES="all",
            PYTHONPATH="/env/python",
            JPY_PARENT_PID="100",
            CUDA_VERSION="12.5.1",
        )
        .snapshot
    )


def ngc() -> Snapshot:
    """NVIDIA's own image of torch on an A100: a local label, pip's constraints, a compatibility package in use."""
    compat = "/usr/local/cuda/compat/lib.real"
    a100 = Gpu(
        0, "NVIDIA A100-SXM4-80GB", "8.0", 81920 << 20, 4 << 20, False, True, 0, "0000:07:00.0", "default"
    )
    versions = {"torch": "2.9.0a0+145a3a7bda.nv25.10", "torchvision": "0.24.0a0+094e7af5"}
    machine = M.but(
        gpus=(a100,),
        torch=TorchBuild(
            versions["torch"],
            "13.0",
            None,
            ("sm_75", "sm_80", "sm_86", "sm_90", "compute_120"),
            "/usr/local/torch",
        ),
        toolkit=Toolkit(
            "/usr/local/cuda/bin/nvcc", "13.0", "/usr/local/cuda", True, "/usr/bin/gcc", "13.3.0", True
        ),
    ).driver(
        version="550.127.08",
        kernel_module_version="550.127.08",
        nvml_version="550.127.08",
        cuda="13.0",
        libcuda=f"{compat}/libcuda.so.580.82.07",
        is_open_kernel_module=False,
    )
    packages = tuple(
        p for p in machine.snapshot.packages if p.name not in versions and "nvidia" not in p.name
    )
    return (
        machine.but(packages=(*packages, *(package(n, v, requires=()) for n, v in versions.items())))
        .host(container="docker")
        .system(user_id=0, home_owner_id=0)
        .driver_files(
            libraries=(
                *(replace(library, version="550.127.08") for library in OWN),
                DriverLibrary("/usr/local/cuda/compat/libcuda.so.1", "580.82.07"),
            )
        )
        .interpreter(is_virtual_environment=False)
        .with_variables(
            NVIDIA_VISIBLE_DEVICES="all",
            NVIDIA_DRIVER_CAPABILITIES="compute,utility,video",
            PIP_CONSTRAINT="/etc/pip/constraint.txt",
            PIP_BREAK_SYSTEM_PACKAGES="1",
            TORCH_CUDA_ARCH_LIST="7.5 8.0 8.6 9.0 10.0 12.0+PTX",
            TORCH_ALLOW_TF32_CUBLAS_OVERRIDE="1",
            OMPI_MCA_coll_hcoll_enable="0",
            LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
            USE_EXPERIMENTAL_CUDNN_V8_API="1",
        )
        .snapshot
    )


def wsl_laptop() -> Snapshot:
    """A laptop with WSL 2: no kernel module, libcuda of Windows, no PCI device, throttling not told."""
    gpu = Gpu(
        0, "NVIDIA GeForce RTX 4070 Laptop GPU", "8.9", 8188 << 20, 900 << 20, pci_address="0000:01:00.0"
    )
    return (
        M.but(
            gpus=(gpu,),
            pci_devices=(),
            device_nodes=(),
            gpu_health=(GpuHealth(0, 51, None, None, None, ()),),
            driver_files=DriverFiles(
                (DriverLibrary("/usr/lib/wsl/lib/libcuda.so.1"),),
                has_dxg=True,
                in_loader_cache=True,
                has_ldconfig=True,
            ),
        )
        .driver(
            kernel_module_version="",
            source="nvml",
            libcuda="/usr/lib/wsl/lib/libcuda.so.1",
            is_open_kernel_module=None,
        )
        .host(is_wsl=True, kernel="5.15.167.4-microsoft-standard-WSL2", memory_bytes=16 * GIB)
        .system(memory_available_bytes=13 * GIB)
        .with_variables(WSL_DISTRO_NAME="Ubuntu")
        .snapshot
    )


def cpu_pod() -> Snapshot:
    """A pod without a GPU on a node with some: a numbered user, small limits, torch for the CPU."""
    return (
        M.without_gpu()
        .torch(version="2.13.0+cpu", cuda=None, architectures=())
        .but(gpu_health=(), driver_files=DriverFiles(has_dxg=False, in_loader_cache=False, has_ldconfig=True))
        .installed(
            torch="2.13.0",
            torchvision="0.28.0+cpu",
            nvidia_nccl_cu13=None,
            nvidia_cudnn_cu13=None,
            triton=None,
        )
        .changed_package("torch", requires=())
        .host(container="kubernetes", cpu_limit=4.0, memory_limit_bytes=16 * GIB)
        .system(memory_available_bytes=15 * GIB, processes_left=4000, user_id=1000700000, home_owner_id=0)
        .with_variables(NVIDIA_VISIBLE_DEVICES="void", KUBERNETES_SERVICE_HOST="service", OMP_NUM_THREADS="4")
        .snapshot
    )


HEALTHY_MACHINES = (slurm_hgx, runpod_4090, colab_t4, ngc, wsl_laptop, cpu_pod)
