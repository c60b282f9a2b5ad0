"""For each rule about compiled extensions: machines that fail it and machines that pass."""

from dataclasses import replace

from rule_machines import GTX_1080, RTX_4090, SITE, Machine, machine, recorded

from envdoc.doctor.facts.snapshot import Distribution, Extension, ExtensionLibrary, Extensions, Integrity

AMPERE = ("sm_80", "sm_90")
TORCH = ("libc10.so", "libtorch_cpu.so", "libtorch_cuda.so", "libcudart.so.13")
SYMBOL = "_ZN3c104cuda9SetDeviceEi"
RTX_5090 = replace(RTX_4090, name="NVIDIA GeForce RTX 5090", capability="12.0")
T4 = replace(RTX_4090, name="Tesla T4", capability="7.5")
FLASH = "flash_attn_2_cuda.cpython-312-x86_64-linux-gnu.so"


def library(file, architectures=AMPERE, **fields):
    """One *.so with GPU code that asks for torch and for CUDA 13."""
    return ExtensionLibrary(file, architectures, fields.pop("needed", TORCH), **fields)


def extension(name="flash-attn", version="2.8.3", libraries=None, **fields):
    """A distribution beside torch; flash-attn as it should be where nothing else is said."""
    return Extension(name, version, SITE, libraries=tuple(libraries or (library(FLASH),)), **fields)


def beside(*found, **fields):
    """The healthy machine with these extensions beside its torch."""
    told = {"compared": True, "glibc": "2.39", "newest_libstdcxx": "GLIBCXX_3.4.33", **fields}
    return machine().but(extensions=Extensions(found=found, **told))


def broken(**fields):
    """The same with a flash-attn whose library has these faults."""
    return beside(extension(libraries=(library(FLASH, **fields),)))


VLLM = extension(
    "vllm",
    "0.33.0",
    (
        library("vllm/_C_stable_libtorch.abi3.so", ("sm_75", "sm_80", "sm_90", "sm_120")),
        library("vllm/vllm_flash_attn/_vllm_fa3_C.abi3.so", ("sm_90a",)),
        library("vllm/spinloop.abi3.so", ()),
    ),
)
TORCHAO = extension("torchao", "0.18.0", (library("torchao/_C_cutlass_90a.abi3.so", ("sm_90a",)),))
DEEPSPEED = extension(
    "deepspeed",
    "0.18.2",
    (library("deepspeed/ops/adam/cpu_adam_op.so", ()),),
    built_torch="2.11",
    built_cuda="13.0",
    built_source="deepspeed/git_version_info_installed.py",
)
VISION = extension(
    "torchvision",
    "0.26.0",
    (library("torchvision/_C.so", ("sm_75", "sm_90")),),
    built_cuda="13.0",
    built_source="torchvision/version.py",
)
XFORMERS = extension(
    "xformers",
    "0.0.35",
    (library("xformers/_C.so", ("sm_75", "sm_80", "sm_90a", "compute_80")),),
    built_torch="2.10.0+cu128",
    built_cuda="12.8",
    built_source="xformers/cpp_lib.json",
)
WHEEL = extension(built_torch="2.8", built_cuda="12", built_source="the name of its wheel")
UNTAGGED = beside(
    extension(libraries=(library("flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so", other_python=True),))
)
TAGGED = UNTAGGED.but(
    integrity=Integrity(
        distributions=(Distribution("flash-attn", "2.8.3", SITE, wheel_tags=("cp310-cp310-linux_x86_64",)),)
    )
)

FAILING = {
    "TOR010": [
        beside(extension()).with_gpu(T4),
        beside(extension()).with_gpu(RTX_5090),
        beside(
            VLLM,
            extension("fbgemm-gpu", "1.9.0", (library("fbgemm_gpu/fbgemm_gpu_py.so", ("sm_80", "sm_90a")),)),
        ).with_gpu(T4),
        beside(
            extension("flash-attn-3", "3.0.0", (library("flash_attn_3/_C.abi3.so", ("sm_90a",)),))
        ).with_gpu(RTX_4090),
        beside(extension("xformers", "0.0.23", (library("xformers/_C.so", ("sm_80", "sm_86")),))),
        # the part for one GPU serves it; what vLLM cannot do without does not
        beside(replace(VLLM, libraries=(library("vllm/_C.abi3.so", ("sm_80",)), *VLLM.libraries[1:]))),
    ],
    "TOR011": [
        broken(undefined=(SYMBOL,), undefined_count=8),
        broken(undefined=(SYMBOL,), undefined_count=8).without_gpu(),
        broken(undefined=("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs",), undefined_count=1),
        broken(
            undefined=(
                "_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
            ),
            undefined_count=1,
        ),
        beside(
            replace(
                XFORMERS,
                libraries=(library("xformers/_C.so", undefined=("torch_list_size",), undefined_count=11),),
            )
        ),
        beside(
            extension(
                "torchaudio",
                "2.9.1",
                (library("torchaudio/lib/libtorchaudio.so", undefined=(SYMBOL,), undefined_count=1),),
            ),
            replace(
                VISION,
                libraries=(library("torchvision/_C.so", undefined=("_ZTIN3c105ErrorE",), undefined_count=1),),
            ),
        ),
        beside(
            extension(
                "my-kernels",
                "1.0",
                (library("my_kernels.so", undefined=("THPVariableClass",), undefined_count=1),),
            )
        ),
        beside(extension("flash-attn-2-cuda", "", (library(FLASH, undefined=(SYMBOL,), undefined_count=2),))),
        beside(
            extension(
                "torchao", "0.14.1", (library("torchao/_C.abi3.so", undefined=(SYMBOL,), undefined_count=2),)
            )
        ),
    ],
    "TOR012": [
        broken(missing=("libcudart.so.12",)),
        broken(missing=("libcudart.so.12", "libc10_cuda.so", "libtorch_cuda.so")).torch(
            version="2.13.0+cpu", cuda=None
        ),
        broken(missing=("libtorch_cuda_cpp.so",)),
        beside(
            replace(VISION, libraries=(library("torchvision/_C.so", missing=("libcudart.so.12",)),))
        ).without_gpu(),
        broken(missing=("libcublasLt.so.12",)).interpreter(has_pip=False),
    ],
    "TOR013": [
        beside(replace(DEEPSPEED, built_torch="2.8")),
        beside(replace(DEEPSPEED, built_cuda="12.8")),
        beside(replace(VISION, built_cuda="12.8")),
        beside(WHEEL, compared=False),
    ],
    "PKG020": [UNTAGGED],
    "PKG021": [
        broken(versions=("GLIBC_2.41",)),
        broken(versions=("GLIBCXX_3.4.34",)),
        beside(
            extension(
                "safetensors",
                "0.8.0",
                (library("safetensors/_safetensors_rust.abi3.so", (), versions=("GLIBC_2.41",)),),
            )
        ).installed(safetensors="0.8.0"),
    ],
}
WHOLE = beside(extension(), VLLM, TORCHAO, DEEPSPEED, VISION, XFORMERS)
PASSING = {
    "TOR010": [
        WHOLE,
        beside(XFORMERS).with_gpu(RTX_5090),  # by its PTX
        beside(VLLM, TORCHAO).with_gpu(T4),  # torchao's operators are each for some GPUs
        beside(extension()).with_gpu(RTX_4090),  # sm_80 serves 8.9
    ],
    "TOR011": [
        WHOLE,
        broken(),
        # what vLLM can do without may fail
        beside(
            replace(
                VLLM,
                libraries=(
                    VLLM.libraries[0],
                    library("vllm/_qutlass_C.abi3.so", undefined=(SYMBOL,), undefined_count=1),
                ),
            )
        ),
    ],
    "TOR012": [WHOLE, WHOLE.without_gpu()],
    "TOR013": [
        WHOLE,
        beside(WHEEL),  # its symbols were looked up, and are there
        beside(XFORMERS),
        beside(replace(VISION, built_cuda="13.2")),
    ],
    "PKG020": [beside(extension())],
    "PKG021": [WHOLE],
}
SKIPPED = {
    "TOR010": [
        machine(),
        beside(),
        beside(extension()).without_gpu(),
        beside(TORCHAO).with_gpu(T4),
        beside(extension()).with_gpu(GTX_1080),  # torch has no kernels for it either: TOR003
        beside(extension()).torch(version="2.13.0+cpu", cuda=None),
    ],
    "TOR011": [
        machine(),
        beside(),
        beside(extension(), compared=False),
        broken(missing=("libcudart.so.12",)),
    ],
    "TOR012": [machine(), beside()],
    "TOR013": [machine(), beside(extension())],
    "PKG020": [machine(), TAGGED],
    "PKG021": [machine(), beside()],
}

# NVIDIA's own builds of torch.
NGC, JETSON = Machine(recorded("ngc-25.10")), Machine(recorded("jetson-orin"))
REPLACED = NGC.torch(version="2.9.1+cu128", cuda="12.8")
FAILING.update(
    TOR014=[
        JETSON.torch(version="2.8.0+cpu", cuda=None),
        JETSON.torch(version="2.8.0+cu126", cuda="12.6"),
        JETSON.torch(version="2.5.1+cpu", cuda=None).but(gpus=()),
    ],
    TOR015=[REPLACED, REPLACED.but(packages=()), REPLACED.but(variables={"NVIDIA_PYTORCH_VERSION": "24.01"})],
)
PASSING.update(
    TOR014=[
        JETSON,
        JETSON.torch(version="2.8.0"),  # wheels of others for Jetson carry no label
        JETSON.torch(version="2.13.0+cu130", cuda="13.0"),  # from CUDA 13 on servers and Thor share theirs
    ],
    TOR015=[NGC, NGC.but(variables={"NVIDIA_PYTORCH_VERSION": "25.10"})],
)
SKIPPED.update(
    TOR014=[machine(), NGC],
    TOR015=[machine(), REPLACED.interpreter(is_virtual_environment=True)],
)
