"""Machines that fail and that pass each rule about how the packages of a stack fit, and what was left behind."""

from dataclasses import replace

from rule_machines import SITE, machine, package

from envdoc.doctor.facts.snapshot import (
    CodeFloor,
    CondaOwned,
    Distribution,
    Integrity,
    Lock,
    LockEntry,
    Remains,
    StaleFiles,
)

M = machine()
UNREAD = M.but(transformers=None)  # transformers' own table was not read
CPU = M.torch(version="2.13.0+cpu", cuda=None).installed(nvidia_cudnn_cu13=None, nvidia_nccl_cu13=None)


def floor(owner, name, minimum, base=M, **installed):
    """A machine where one package's code asks for a version of another."""
    told = base.installed(**installed)
    asked = CodeFloor(owner, "9", name, minimum, f"{owner}/import_utils.py: {name.upper()}_MIN_VERSION")
    return told.but(code_floors=(asked,))


def with_extra(owner, line, **installed):
    """A machine where one extra of a package bounds another that is installed."""
    base = M.installed(**{owner: "1.16.0"}, **installed)
    return base.changed_package(
        owner, requires=(line, 'ruff==0.1; extra == "dev"', 'torch<2; extra == "testing"')
    )


def left(base=M, **found):
    """A machine with these remains of earlier installs."""
    return base.but(remains=Remains(**found))


def locked(*lines, base=M):
    """A machine that is compared with a lock of these lines: name, specifier, marker."""
    return base.but(lock=Lock("requirements.txt", tuple(LockEntry(*line) for line in lines)))


def wheels_elsewhere(place):
    """The healthy machine whose NCCL wheel lies in that folder."""
    return M.changed_package("nvidia-nccl-cu13", location=place)


def folders(*named):
    """The healthy machine with dist-info folders of these names."""
    return M.but(integrity=Integrity("sizes", tuple(Distribution(n, v, SITE) for n, v in named)))


def with_package(name, version, base=M, **fields):
    """A machine with one more distribution."""
    return base.but(packages=(*base.snapshot.packages, package(name, version, **fields)))


OWN = {p.name: p.version for p in M.snapshot.packages}
OLD_DATASETS = UNREAD.installed(datasets="1.18.4", trl="1.16.0")
PY38 = M.installed(
    **{
        "torch": "2.0.1",
        "transformers": "4.46.3",
        "peft": "0.13.2",
        "accelerate": "1.0.1",
        "datasets": "3.1.0",
    }
).interpreter(version="3.8.18")
STALE = StaleFiles("peft", SITE + "/peft", 2, ("peft/old.py", "peft/older.py"))
SYMLINKED = left(dangling=(SITE + "/peft/__init__.py", SITE + "/numpy"))
EXTENSION = {"requires": ("torch",)}

FAILING = {
    "TRF010": [
        floor("transformers", "torchao", "0.15.0", torchao="0.9.0"),
        floor("transformers", "peft", "0.5.0", UNREAD, peft="0.4.0"),
        floor("transformers", "bitsandbytes", "0.60.0"),
    ],
    "PFT010": [
        floor("peft", "torchao", "0.16.0", torchao="0.14.1"),
        floor("peft", "gptqmodel", "7.0.0", gptqmodel="2.0.0"),
    ],
    "PKG030": [floor("trl", "liger-kernel", "0.8.2", trl="1.16.0", liger_kernel="0.5.10")],
    "PKG031": [
        with_extra("trl", "peft>=0.30; extra == 'peft'"),
        with_extra("trl", 'vllm<=0.31.0,>=0.22.0; extra == "vllm"', vllm="0.40.0"),
    ],
    "TRF011": [
        UNREAD.installed(trl="0.7.11", transformers="4.57.6"),
        UNREAD.installed(trl="0.22.2", transformers="5.23.0"),
        UNREAD.installed(trl="0.15.2", transformers="4.44.2"),
    ],
    "TRF012": [
        M.installed(diffusers="0.27.2"),
        UNREAD.installed(datasets="2.15.0"),
        M.installed(gradio="4.44.1"),
    ],
    "PKG032": [M.installed(pandas="2.0.3"), M.installed(pyarrow="14.0.2"), M.installed(scikit_learn="1.3.2")],
    "PKG033": [
        M.installed(tensorboard="2.20.0"),
        M.installed(wandb="0.15.12"),
        M.installed(wandb="0.16.6", setuptools=None),
    ],
    "PKG034": [
        M.installed(deepspeed="0.14.0"),
        M.torch(version="2.10.0+cu128").installed(torchao="0.18.0"),
        M.torch(version="2.0.1+cu117").installed(transformers="4.50.3"),
        M.torch(version="2.5.1+cu124").interpreter(version="3.13.1"),
    ],
    "PKG035": [
        M.installed(pytorch="1.0.2"),
        M.installed(adapter_transformers="3.2.1"),
        M.installed(sklearn="0.0.post12"),
    ],
    "PKG036": [
        with_package("xformers", "0.0.28+cu118", **EXTENSION),
        with_package("torch-scatter", "2.1.2+pt20cu117"),
        with_package("flash-attn", "2.6.3+cu123torch2.4cxx11abiFALSE"),
        with_package("xformers", "0.0.28+cu121", CPU, **EXTENSION),
    ],
    "PKG037": [CPU.installed(nvidia_cublas_cu12="12.8.4.1", nvidia_cudnn_cu12="9.10.2.21")],
    "PKG038": [wheels_elsewhere("/home/user/env/lib64/python3.12/site-packages")],
    "PKG040": [
        OLD_DATASETS,
        UNREAD.installed(trl="0.4.7", datasets="5.2.0"),
        with_package("odd", "1.0", OLD_DATASETS, requires=("datasets<2",)),
        UNREAD.installed(datasets="2.19.2", trl="1.16.0"),
    ],
    "PKG041": [
        left(set_aside=(SITE + "/~ransformers",)),
        left(set_aside=(SITE + "/~orch", SITE + "/~umpy", SITE + "/pip-uninstall-abc")),
    ],
    "PKG042": [left(stale=(STALE,)), left(stale=(replace(STALE, count=1),))],
    "PKG043": [folders(("peft", "0.10.0"), ("numpy", "2.4.6")), folders(("peftt", "0.21.2"))],
    "PKG044": [
        left(conda=(CondaOwned("pytorch", "2.5.1"), CondaOwned("numpy", "2.4.6"))),
        left(conda=(CondaOwned("numpy", "1.26.4"),)),
    ],
    "PKG045": [SYMLINKED, left(dangling=(SITE + "/torch",))],
    "PKG046": [
        left(partial_records=(SITE + "/peft-0.21.2.dist-info/RECORD",)),
        left(partial_records=(SITE + "/urllib3-2.6.0.dist-info/RECORD",)),
    ],
    "PKG047": [M.installed(peft="0.21.2-patched-by-me"), M.installed(rich="main")],
    "PKG048": [M.installed(peft=None), M.installed(peft=None, transformers=None, accelerate=None)],
    "PKG050": [locked(("peft", "==0.21.2"), ("scipy", "==1.17.0")), locked(("scipy",), ("pandas", ">=2"))],
    "PKG051": [
        locked(("peft", "==0.20.0")),
        locked(("torch", "==2.11.0+cpu")),
        locked(("peft", "==0.20.0"), ("numpy", "<2")),
    ],
    "PKG052": [locked(("peft", "==0.21.2"))],
}
PASSING = {
    "TRF010": [
        floor("transformers", "torchao", "0.15.0", torchao="0.17.0"),
        floor("transformers", "bitsandbytes", "0.46.1", bitsandbytes="0.45.5"),  # BNB006 says it
        floor("transformers", "peft", "0.20.0", peft="0.19.1"),  # TRF002 says it
    ],
    "PFT010": [floor("peft", "torchao", "0.16.0", torchao="0.17.0+cu130")],
    "PKG030": [floor("trl", "liger-kernel", "0.8.2", trl="1.16.0", liger_kernel="0.8.2")],
    "PKG031": [
        M,
        with_extra("trl", "peft>=0.13; extra == 'peft'"),
        with_extra("trl", "bitsandbytes<=0.41.1; extra == 'quantization'"),
        with_extra("trl", "peft<=0.10; extra == 'peft'"),  # upper bounds of extras are seldom meant
        with_extra("trl", 'vllm<=0.31.0,>=0.22.0; extra == "vllm"', vllm="0.24.0+cu129"),
    ],
    "TRF011": [
        UNREAD.installed(trl="0.7.11", transformers="4.38.2"),
        UNREAD.installed(trl="0.23.1", transformers="5.23.0"),
        UNREAD.installed(trl="0.11.4", transformers="4.46.3"),
        M.installed(trl="1.16.0"),
    ],
    "TRF012": [
        M,
        M.installed(diffusers="0.35.2", datasets="5.2.0"),
        M.installed(datasets="2.14.7").changed_package(
            "datasets", requires=("huggingface-hub<1.0.0",)
        ),  # PKG002
    ],
    "PKG032": [
        M,
        M.installed(pandas="2.2.3", pyarrow="24.0.0"),
        M.installed(numpy="1.26.4", pandas="2.0.3"),
        M.installed(scipy="1.11.4").changed_package(
            "scipy", requires=("numpy<1.28,>=1.21.6",)
        ),  # PKG008 says it
    ],
    "PKG033": [
        M,
        M.installed(tensorboard="2.21.0"),
        M.installed(tensorboard="2.20.0", setuptools="80.9.0"),
        M.installed(wandb="0.16.6"),
    ],
    "PKG034": [
        M.installed(deepspeed="0.18.6", torchao="0.18.0"),
        M.torch(version="2.3.1").installed(deepspeed="0.14.0", torchvision=None),
    ],
    "PKG035": [M, with_package("pytorch", "2.5.1", installer="conda")],
    "PKG036": [
        M,
        with_package("xformers", "0.0.33+cu130", **EXTENSION),
        with_package("flash-attn", "2.8.3+cu13torch2.11cxx11abiTRUE", **EXTENSION),
        with_package("jaxlib", "0.4.13+cuda12.cudnn89"),
        with_package("paddlepaddle-gpu", "3.0+cu118"),  # brings a CUDA of its own
        with_package("transformer-engine", "2.9.0+nv25.10", **EXTENSION),
    ],
    "PKG037": [
        CPU,
        with_package(
            "xgboost", "3.1", CPU.installed(nvidia_nccl_cu12="2.27"), requires=("nvidia-nccl-cu12",)
        ),
    ],
    "PKG038": [M, wheels_elsewhere(SITE)],
    "PKG040": [
        UNREAD.installed(datasets="5.2.0", trl="1.16.0"),
        PY38,  # old, and of one time
        PY38.installed(torch="2.15.0", numpy="2.4.6"),
        M.installed(datasets="3.6.0"),
        M.installed(torch="1.13.1", numpy="1.24.4"),  # chosen for a driver or a GPU
    ],
    "PKG041": [left()],
    "PKG042": [
        left(),
        left(M.changed_package("peft", editable=True), stale=(STALE,)),
        left(M.changed_package("peft", installer="conda"), stale=(STALE,)),
    ],
    "PKG043": [
        folders(*OWN.items()),
        folders(("torchvision", "0.26.0+cu130"), ("peft", "0.21.2")),
        folders(("peft", "0.13.2"), ("peft", "0.21.2")),  # PKG003 says it
    ],
    "PKG044": [
        left(conda=(CondaOwned("numpy", "2.4.6"), CondaOwned("pytorch", "2.11.0"))),
        left(M.changed_package("numpy", installer="conda"), conda=(CondaOwned("numpy", "1.26.4"),)),
    ],
    "PKG045": [left()],
    "PKG046": [left(), left(partial_records=(SITE + "/unknown-1.dist-info/RECORD",))],
    "PKG047": [M, with_package("gpg", "1.18.0-unknown", location="/usr/lib/python3/dist-packages")],
    "PKG048": [M],
    "PKG050": [
        locked(("peft", "==0.21.2"), ("torch", "==2.11.0")),
        locked(("nvidia-cublas", "==13.1"), ("triton", "==3.7"), base=M.torch(version="2.11.0+cpu")),
        locked(("pywin32", "==306", 'sys_platform == "win32"'), ("tomli", "==2", 'python_version < "3.11"')),
    ],
    "PKG051": [
        locked(("peft", "==0.21.2"), ("torch", "==2.11.0"), ("torch", "==2.11.0+cu130"), ("numpy", "")),
        locked(("peft", "==0.1", 'sys_platform == "win32"')),
    ],
    "PKG052": [locked(*((name, "==" + version) for name, version in OWN.items() if name != "setuptools"))],
}
