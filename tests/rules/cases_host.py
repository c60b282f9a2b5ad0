"""For each rule about driver, GPUs, system, toolkit and variables: machines that fail it and machines that pass."""

from dataclasses import replace

from rule_machines import GTX_1080, H100, RTX_4090, machine

from envdoc.doctor.facts.snapshot import DeviceNode, Driver, Gpu, Jupyter, Kernel, PciDevice

M = machine()
NO_DRIVER = M.but(gpus=(), device_nodes=(), driver=Driver(libcuda_error="libcuda.so.1: cannot open"))
NOUVEAU = NO_DRIVER.but(pci_devices=(PciDevice("0000:01:00.0", "0x2684", "nouveau"),))
CONTAINER = M.host(container="docker")
CPU_POD = (
    CONTAINER.torch(version="2.13.0+cpu", cuda=None)
    .installed(torchvision="0.28.0+cpu")
    .but(
        gpus=(),
        device_nodes=(),
        driver=Driver(
            "580.95.05", libcuda_error="libcuda.so.1: cannot open", kernel_module_version="580.95.05"
        ),
    )
)
B200 = Gpu(0, "NVIDIA B200", "10.0", 183359 << 20, 4 << 20, False, True, 0, "0000:1b:00.0", "default")
LONG = Gpu(0, "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "12.0", 97887 << 20, 1 << 20)
SEED = M.with_gpu(RTX_4090).torch(version="2.0.1+cu117", cuda="11.7", architectures=("sm_80", "sm_86"))
PASCAL = M.with_gpu(GTX_1080)

FAILING = {
    "DRV001": [
        NO_DRIVER.but(pci_devices=(PciDevice("0000:3b:00.0", "0x2335", ""),)),
        NO_DRIVER.but(pci_devices=(PciDevice("0000:3b:00.0", "0xffff", ""),)).host(container="docker"),
        NO_DRIVER.but(pci_devices=(PciDevice("0000:3b:00.0", "0x2330", ""),)).host(
            distribution="Debian GNU/Linux 12"
        ),
        NO_DRIVER.but(pci_devices=(PciDevice("0000:3b:00.0", "0x2330", ""),)).torch(
            version="2.13.0+cpu", cuda=None
        ),
    ],
    "DRV002": [
        NOUVEAU,
        NOUVEAU.torch(version="2.13.0+cpu", cuda=None),
        M.but(pci_devices=(*M.snapshot.pci_devices, PciDevice("0000:5e:00.0", "0x2330", "vfio-pci"))),
    ],
    "DRV003": [
        CONTAINER.driver(libcuda="", libcuda_error="libcuda.so.1: cannot open", cuda="", cuda_init_code=None),
        M.driver(libcuda="", libcuda_error="libcuda.so.1: cannot open", cuda="", cuda_init_code=None),
        CPU_POD,
    ],
    "DRV004": [
        M.driver(nvml_error="nvmlInit_v2 returned 18 (Driver/library version mismatch)", nvml_version=""),
        M.driver(cuda_init_code=803),
        M.driver(nvml_version="580.105.08"),
    ],
    "DRV005": [
        M.driver(cuda_init_code=100),
        M.driver(cuda_init_code=100).with_variables(CUDA_VISIBLE_DEVICES="0"),
    ],
    "DRV006": [
        SEED.driver(cuda_init_code=804, libcuda="/usr/local/cuda/compat/libcuda.so.1").with_variables(
            LD_LIBRARY_PATH="/usr/local/cuda/compat"
        ),
        M.with_gpu(LONG).driver(cuda_init_code=804),
    ],
    "DRV007": [
        M.driver(cuda_init_code=999),
        M.driver(cuda_init_code=None, libcuda_error="cuInit did not return within 15 s"),
        M.driver(cuda_init_code=None, libcuda_error="cuInit was killed by SIGSEGV"),
    ],
    "DRV008": [M.with_gpu(H100, 8).driver(cuda_init_code=802)],
    "DRV009": [
        M.but(device_nodes=(DeviceNode("/dev/nvidia0", False, False),)).driver(cuda_init_code=100),
        M.but(device_nodes=(DeviceNode("/dev/nvidia0"),)).driver(cuda_init_code=100),
    ],
    "DRV010": [
        M.driver(version="470.57.02", cuda="11.4"),
        M.driver(version="535.54.03", cuda=""),
        M.driver(version="", kernel_module_version="", nvml_version="", cuda="12.2"),
        M.driver(cuda="12.4"),  # an old libcuda lies before that of the driver
        M.torch(version="2.12.0.dev20260101+cu130", cuda="13.0").driver(version="550.163.01", cuda="12.4"),
    ],
    "DRV011": [
        M.torch(version="2.8.0+cu128", cuda="12.8").driver(version="535.183.01", cuda="12.2"),
        SEED.driver(version="470.57.02", cuda=""),
        M.torch(cuda="12.8", architectures=("sm_86", "compute_86")).driver(version="535.183.01", cuda="12.2"),
    ],
    "DRV012": [
        M.with_gpu(B200).driver(version="550.54.15", cuda="12.4"),
        M.with_gpu(LONG).driver(version="565.57.01"),
    ],
    "DRV013": [
        M.driver(nvml_error="nvmlInit_v2 did not return within 15 s"),
        M.driver(nvml_error="GPU 3 returned 15 (GPU is lost)"),
    ],
    "GPU001": [M.without_gpu(), M.without_gpu().torch(version="2.13.0+cpu", cuda=None)],
    "GPU002": [
        M.with_variables(CUDA_VISIBLE_DEVICES=""),
        M.with_variables(CUDA_VISIBLE_DEVICES="-1"),
        M.with_variables(CUDA_VISIBLE_DEVICES="0,5"),
        M.with_gpu(H100, 8).with_variables(CUDA_VISIBLE_DEVICES="0,1,2,3,4,5,6,7,8"),
    ],
    "GPU003": [
        M.but(gpus=(replace(H100, mig_enabled=True),)),
        M.but(gpus=(replace(H100, mig_enabled=True),)).driver(cuda_init_code=100),
    ],
    "GPU004": [M.but(gpus=(replace(H100, ecc_uncorrected=3),))],
    "GPU005": [
        M.but(gpus=(RTX_4090, replace(GTX_1080, index=1))),
        M.but(gpus=(LONG, replace(B200, index=1))),
    ],
    "GPU006": [M.but(gpus=(replace(H100, compute_mode="prohibited"),))],
    "GPU007": [M.but(gpus=(replace(H100, memory_used_bytes=60_000 << 20),))],
    "GPU008": [SEED.with_gpu(RTX_4090, 2).driver(version="535.129.03", cuda="12.2")],
    "CFG010": [
        SEED.toolkit(version="12.4"),
        SEED.toolkit(version="12.4").installed(deepspeed="0.14.0"),
    ],
    "CFG011": [
        M.toolkit(cuda_home="/usr/local/cuda-gone", cuda_home_exists=False),
        M.toolkit(cuda_home="/usr/local/cuda-gone", cuda_home_exists=False).installed(deepspeed="0.14.0"),
    ],
    "CFG012": [M.toolkit(host_compiler=""), M.toolkit(host_compiler="").installed(liger_kernel="0.8.5")],
    "CFG020": [
        M.with_variables(
            RANK="0", WORLD_SIZE="8", MASTER_ADDR="10.0.0.1", MASTER_PORT="29500", LOCAL_RANK="0"
        ),
        M.with_variables(WORLD_SIZE="1", RANK="0"),
    ],
    "CFG021": [
        M.with_variables(LD_LIBRARY_PATH="/usr/local/cuda-12.1/lib64"),
        SEED.with_variables(LD_LIBRARY_PATH="/opt/cudnn-8.9/lib:/usr/lib"),
    ],
    "CFG022": [
        M.with_variables(HF_HUB_OFFLINE="1"),
        M.with_variables(HF_HUB_OFFLINE="TRUE", TRANSFORMERS_OFFLINE="1"),
    ],
    "CFG023": [
        M.but(jupyter=Jupyter("", True, (Kernel("python3", "/root/miniconda3/bin/python"),))),
        M.but(jupyter=Jupyter("4.4.0", False, (Kernel("python3", "/root/miniconda3/bin/python"),))).installed(
            ipykernel="6.29"
        ),
    ],
    "CFG024": [SEED.with_variables(PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True")],
    "CFG025": [M.with_variables(CUDA_LAUNCH_BLOCKING="1")],
    "CFG026": [
        M.installed(transformers="4.46.3").with_variables(USE_TF="1"),
        M.installed(transformers="4.46.3").with_variables(USE_TORCH="0"),
    ],
    "CFG027": [M.installed(huggingface_hub="0.36.2").with_variables(HF_HUB_ENABLE_HF_TRANSFER="1")],
    "SYS001": [
        M.with_storage("cache", free_bytes=3 * 10**9, total_bytes=20 * 10**9),
        M.with_storage("tmp", free_bytes=10**8, total_bytes=10**9, file_system="tmpfs"),
        M.with_storage("envdoc", free_bytes=9 * 10**9),
        M.with_storage("envdoc", free_bytes=9 * 10**9).but(torch=None),
    ],
    "SYS002": [M.with_storage("tmp", writable=False), M.with_storage("home", writable=False)],
    "SYS003": [M.with_storage("tmp", noexec=True)],
    "SYS004": [
        CONTAINER.with_storage("shm", total_bytes=64 << 20),
        M.host(container="kubernetes").with_storage("shm", total_bytes=64 << 20),
    ],
    "SYS005": [CONTAINER.host(memory_limit_bytes=4 << 30), M.host(memory_bytes=4 << 30)],
    "SYS006": [
        M.host(address_space_limit_bytes=200 << 30),
        M.without_gpu().host(address_space_limit_bytes=2 << 30),
    ],
    "SYS007": [M.host(open_files_limit=256)],
    "SYS008": [M.host(locale_encoding="ANSI_X3.4-1968")],
    "SYS009": [M.host(glibc="2.17"), SEED.host(glibc="2.27"), SEED.host(glibc="2.12")],
    "SYS010": [M.with_storage("envdoc", free_inodes=900)],
}

PASSING = {
    "DRV001": [M, NOUVEAU],
    "DRV002": [M],
    "DRV003": [M],
    "DRV004": [M],
    "DRV005": [M],
    "DRV006": [M, SEED],
    "DRV007": [M, M.driver(cuda_init_code=803)],
    "DRV008": [M],
    "DRV009": [M, M.but(device_nodes=()), M.driver(cuda_init_code=None)],
    "DRV010": [
        M,
        SEED.driver(version="525.105.17", cuda="12.0"),
        M.driver(version="550.54.15", cuda="13.0"),  # the forward-compatibility package of a data-centre GPU
        M.torch(cuda="12.8").driver(version="525.60.13", cuda="12.0"),
    ],
    "DRV011": [M, SEED.driver(version="525.105.17", cuda="12.0"), M.driver(version="470.57.02", cuda="11.4")],
    "DRV012": [M, M.with_gpu(B200).driver(version="570.124.06", cuda="12.8")],
    "DRV013": [M, M.driver(nvml_error="nvmlInit_v2 returned 18 (Driver/library version mismatch)")],
    "GPU001": [M, NO_DRIVER.but(pci_devices=(PciDevice("0000:3b:00.0", "0x2335", ""),))],
    "GPU002": [
        M,
        M.with_variables(CUDA_VISIBLE_DEVICES="0"),
        M.with_variables(CUDA_VISIBLE_DEVICES="MIG-abc"),
    ],
    "GPU003": [M],
    "GPU004": [M],
    "GPU005": [M.with_gpu(H100, 8)],
    "GPU006": [M],
    "GPU007": [M],
    "GPU008": [
        SEED.with_gpu(RTX_4090, 2).driver(version="550.90.07"),
        SEED.with_gpu(RTX_4090, 2)
        .driver(version="535.129.03")
        .with_variables(NCCL_P2P_DISABLE="1", NCCL_IB_DISABLE="1"),
    ],
    "CFG010": [M],
    "CFG011": [M],
    "CFG012": [M],
    "CFG020": [M, M.with_variables(MASTER_ADDR="10.0.0.1"), M.with_variables(RANK="0", SLURM_JOB_ID="7")],
    "CFG021": [M, M.with_variables(LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64")],
    "CFG022": [M, M.with_variables(HF_HUB_OFFLINE="0")],
    "CFG023": [
        M,
        M.but(jupyter=Jupyter("4.4.0", True, (Kernel("r", "/usr/bin/R"), Kernel("python3", "python")))),
    ],
    "CFG024": [M, M.with_variables(PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True")],
    "CFG025": [M, M.with_variables(CUDA_LAUNCH_BLOCKING="0")],
    "CFG026": [
        M.installed(transformers="4.46.3"),
        M.installed(transformers="4.46.3").with_variables(USE_TF="0"),
    ],
    "CFG027": [M, M.with_variables(HF_HUB_ENABLE_HF_TRANSFER="1")],
    "SYS001": [M],
    "SYS002": [M],
    "SYS003": [M],
    "SYS004": [M],
    "SYS005": [M, CONTAINER.host(memory_limit_bytes=64 << 30)],
    "SYS006": [M, M.host(address_space_limit_bytes=1 << 46)],
    "SYS007": [M, M.host(open_files_limit=1024)],
    "SYS008": [M],
    "SYS009": [M, SEED.host(glibc="2.28")],
    "SYS010": [M],
}
