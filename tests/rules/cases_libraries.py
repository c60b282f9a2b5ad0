"""For each rule about the target's Python and libraries: machines that fail it and machines that pass."""

from dataclasses import replace

from rule_machines import GTX_1080, H100, RTX_4090, SITE, libraries, machine, package

from envdoc.doctor.facts.snapshot import Interpreter, PciDevice, TransformersBuild

M = machine()
SEED = M.with_gpu(RTX_4090).torch(
    version="2.0.1+cu117",
    cuda="11.7",
    architectures=("sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86"),
)
UNTOLD = M.torch(architectures=())
NO_TRANSFORMERS_SOURCE = M.but(transformers=None)
USER_SITE = "/home/user/.local/lib/python3.12/site-packages"


def beside(name: str, version: str, location: str):
    """The healthy machine with another copy of a package, which comes first on the search path."""
    return M.but(packages=(package(name, version, location=location), *M.snapshot.packages))


def pair(**versions: str):
    """The healthy machine with these versions, and a transformers whose own source was not read."""
    return NO_TRANSFORMERS_SOURCE.installed(**versions)


FAILING = {
    "TOR001": [
        M.but(torch=None).installed(torch=None),
        M.without_gpu().but(torch=None).installed(torch=None),
    ],
    "TOR002": [M.but(torch=None), M.torch(problem="its version.py is missing")],
    "TOR003": [
        SEED.with_gpu(H100),
        M.with_gpu(GTX_1080),
        SEED.with_gpu(H100).torch(architectures=()),  # by the table
        SEED.with_gpu(replace(H100, capability="")),  # by the table of names
        SEED.but(gpus=(), pci_devices=(PciDevice("0000:3b:00.0", "0x2335", "nvidia"),)),  # by the PCI id
        M.with_gpu(replace(H100, capability="10.0")).torch(architectures=("sm_90a",)),
        M.with_gpu(replace(H100, name="NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation", capability="12.0"))
        .torch(version="2.7.0.dev20250310+cu128", architectures=("sm_90", "compute_120a"))
        .with_gpu(replace(H100, name="NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation", capability="12.1")),
    ],
    "TOR004": [M.torch(version="2.13.0+cpu", cuda=None)],
    "TOR005": [M.torch(version="2.11.0+rocm7.1", cuda=None, hip="7.1.25424")],
    "TOR006": [SEED.installed(numpy="2.0.2")],
    "TOR007": [
        M.installed(nvidia_nccl_cu12="2.27.5"),
        M.installed(nvidia_cublas_cu12="12.8.4.1"),
    ],
    "TOR008": [M.installed(torchvision="0.26.0+cpu"), M.installed(torchaudio="2.11.0+cu126")],
    "BNB001": [M.but(bitsandbytes=None).installed(bitsandbytes=None)],
    "BNB002": [
        M.bitsandbytes(version="0.45.5", libraries=libraries("11.7", "12.4", "12.8")),
        M.bitsandbytes(libraries=()),
        M.torch(version="2.2.0+cu118", cuda="11.8"),
        M.bitsandbytes(version="0.49.2", libraries=libraries("12.8", "13.0")).torch(cuda="13.2"),
    ],
    "BNB003": [
        M.with_gpu(GTX_1080),
        M.bitsandbytes(libraries=libraries("13.0", architectures=("sm_75", "sm_80"))),
    ],
    "BNB004": [
        M.with_gpu(GTX_1080),
        M.with_gpu(replace(GTX_1080, name="Tesla V100-SXM2-16GB", capability="")),
    ],
    "BNB005": [M.with_variables(BNB_CUDA_VERSION="117"), M.with_variables(BNB_CUDA_VERSION="126")],
    "BNB006": [
        pair(bitsandbytes="0.44.1", triton="3.2.0"),
        pair(bitsandbytes="0.45.0", triton="3.6.0"),
        M.installed(bitsandbytes="0.45.5"),
        pair(bitsandbytes="0.45.5", peft="0.13.2", transformers="4.46.3"),
    ],
    "CFG001": [
        M.but(interpreter=Interpreter(path="/gone/bin/python", error="it did not answer within 10 s"))
    ],
    "CFG002": [M.interpreter(version="3.8.18"), M.interpreter(version="3.10.13")],
    "CFG003": [
        M.interpreter(
            missing_modules=("ssl", "lzma", "bz2", "zlib", "sqlite3", "ctypes", "ensurepip", "venv")
        ),
        M.interpreter(missing_modules=("sqlite3",)),
        M.interpreter(missing_modules=("ensurepip",)),
    ],
    "CFG004": [M.interpreter(openssl_version="OpenSSL 1.0.2k-fips  26 Jan 2017")],
    "CFG005": [
        M.but(torch=None).installed(torch=None).interpreter(version="3.7.16"),
        M.but(torch=None).installed(torch=None).interpreter(version="3.16.0"),
    ],
    "CFG006": [SEED.interpreter(version="3.12.1")],
    "PKG001": [
        M.installed(triton=None),
        M.installed(triton=None, nvidia_nccl_cu13=None),
        M.installed(safetensors=None),
    ],
    "PKG002": [
        M.installed(huggingface_hub="0.10.0"),
        M.installed(tokenizers="0.11.1"),
        M.installed(nvidia_nccl_cu13="2.30.7"),
    ],
    "PKG003": [beside("peft", "0.13.2", SITE)],
    "PKG004": [
        beside("transformers", "4.30.0", "/home/user/old").with_variables(PYTHONPATH="/home/user/old"),
        beside("torch", "2.0.1", USER_SITE),
        beside("numpy", "1.26.4", "/usr/lib/python3/dist-packages"),
    ],
    "PKG005": [
        M.changed_package("peft", problem="its METADATA is missing"),
        M.changed_package("urllib3", problem="its METADATA is empty"),
        M.but(
            packages=(
                *M.snapshot.packages,
                package("~orch", "", problem="an interrupted install left it behind"),
            )
        ),
    ],
    "PKG006": [M.changed_package("peft", module_version="0.10.0")],
    "PKG007": [
        M.changed_package("peft", requires_python=">=3.13"),
        M.changed_package("urllib3", requires_python="<3.9"),
    ],
    "PKG008": [
        M.but(packages=(*M.snapshot.packages, package("gradio", "4.44.1", requires=("ffmpy", "pillow<12")))),
        M.but(packages=(*M.snapshot.packages, package("botocore", "1.2", requires=("urllib3<2",)))),
    ],
    "PKG009": [pair(bitsandbytes="0.41.3"), pair(triton="3.2.0", setuptools=None)],
    "PKG010": [pair(datasets="2.14.4", pyarrow="26.0.1")],
    "TRF001": [
        M.torch(version="2.4.1+cu121", cuda="12.1"),
        NO_TRANSFORMERS_SOURCE.torch(version="2.0.1+cu117").installed(transformers="4.57.1"),
        NO_TRANSFORMERS_SOURCE.torch(version="2.4.1+cu121").installed(transformers="5.20.2"),
    ],
    "TRF002": [M.installed(peft="0.19.1"), M.installed(accelerate="0.34.2")],
    "TRF003": [
        pair(transformers="4.38.2", accelerate="1.2.1"),
        pair(transformers="4.36.2", accelerate="1.0.1"),
        pair(transformers="4.38.2", accelerate="0.25.0"),
        pair(transformers="4.57.1", accelerate="1.2.1"),
    ],
    "TRF004": [
        pair(transformers="4.46.3"),
        pair(transformers="4.57.6").torch(version="2.4.1+cu121"),
    ],
    "TRF005": [pair(transformers="4.28.1", protobuf="7.36.2")],
    "PFT001": [
        pair(peft="0.14.0", transformers="4.38.2"),
        pair(peft="0.18.0", transformers="4.44.2"),
        pair(peft="0.17.1", transformers="5.0.0"),
        pair(peft="0.17.1", transformers="5.23.0"),
    ],
    "PFT002": [pair(peft="0.5.0", accelerate="0.19.0")],
}

PASSING = {
    "TOR001": [M],
    "TOR002": [M],
    "TOR003": [
        M,
        SEED,
        UNTOLD,
        SEED.with_gpu(H100).torch(architectures=("sm_86", "compute_86")),
        M.torch(architectures=("sm_90a",)),
    ],
    "TOR004": [M],
    "TOR005": [M],
    "TOR006": [M, SEED.installed(numpy="1.24.4")],
    "TOR007": [M, M.installed(nvidia_nccl_cu13=None, nvidia_cudnn_cu13=None, nvidia_nccl_cu12="2.27.5")],
    "TOR008": [M],
    "BNB001": [M],
    "BNB002": [
        M,
        SEED.bitsandbytes(version="0.45.5", libraries=libraries("11.7", "12.8")),
        M.torch(version="2.15.0+cu132", cuda="13.2"),  # 0.50 takes 13.0
    ],
    "BNB003": [M, M.bitsandbytes(libraries=libraries("13.0", architectures=("sm_80", "compute_86")))],
    "BNB004": [M],
    "BNB005": [M.with_variables(BNB_CUDA_VERSION="130")],
    "BNB006": [
        M,
        pair(bitsandbytes="0.45.5", transformers="4.46.3", triton="3.2.0"),
        pair(bitsandbytes="0.44.1", peft="0.13.2", transformers="4.46.3", triton="2.0.0"),
        pair(bitsandbytes="0.45.5", peft="0.14.0", transformers="4.46.3"),
    ],
    "CFG001": [M],
    "CFG002": [M],
    "CFG003": [M, M.interpreter(missing_modules=("tkinter",))],
    "CFG004": [M, M.interpreter(openssl_version="OpenSSL 1.1.1w  11 Sep 2023")],
    "CFG005": [M, M.but(torch=None).installed(torch=None)],
    "CFG006": [M, SEED.interpreter(version="3.8.18")],
    "PKG001": [M],
    "PKG002": [M],
    "PKG003": [M],
    "PKG004": [M, beside("transformers", "5.23.0", USER_SITE), beside("rich", "1.0", USER_SITE)],
    "PKG005": [M],
    "PKG006": [M, M.changed_package("torch", module_version="2.11.0+cu130")],
    "PKG007": [M, M.changed_package("peft", requires_python=">=3.10")],
    "PKG008": [M],
    "PKG009": [
        pair(bitsandbytes="0.41.3", scipy="1.10.1"),
        pair(triton="3.2.0"),
        pair(triton="3.2.0", setuptools=None).without_gpu(),
    ],
    "PKG010": [M, pair(datasets="2.14.4", pyarrow="14.0.2"), pair(datasets="3.1.0", pyarrow="26.0.1")],
    "TRF001": [
        M,
        SEED.but(transformers=TransformersBuild("4.46.3")).installed(transformers="4.46.3"),
        NO_TRANSFORMERS_SOURCE.torch(version="2.0.1").installed(transformers="4.51.3"),
    ],
    "TRF002": [M],
    "TRF003": [
        M,
        pair(transformers="4.31.0", accelerate="1.0.1"),
        pair(transformers="4.46.3", accelerate="1.0.1"),
        pair(transformers="4.38.2", accelerate="0.34.2"),
        pair(transformers="4.57.6", accelerate="1.10.1"),
    ],
    "TRF004": [M, SEED.installed(transformers="4.46.3")],
    "TRF005": [
        pair(transformers="4.28.1", protobuf="3.20.3"),
        pair(transformers="4.31.0", protobuf="7.36.2"),
    ],
    "PFT001": [
        M,
        pair(peft="0.13.2", transformers="4.38.2"),
        pair(peft="0.13.2", transformers="4.46.3"),
        pair(peft="0.17.1", transformers="4.57.6"),
        pair(peft="0.18.1", transformers="4.53.3"),
        pair(peft="0.21.2", transformers="4.51.3"),
    ],
    "PFT002": [M, pair(peft="0.5.0", accelerate="0.21.0")],
}
