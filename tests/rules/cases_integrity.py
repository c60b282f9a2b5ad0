"""Machines that fail and that pass each rule about installed files."""

from rule_machines import SITE, machine, package

from envdoc.doctor.facts.snapshot import Distribution, FileFault, Integrity, PthProblem, SharedFiles

CUT = FileFault("safetensors/_safetensors_rust.abi3.so", "size", 1_234_567, 4096, True)
EDITED = FileFault("transformers/trainer.py", "size", 200_000, 200_010, False)
LOST = FileFault("peft/__init__.py", "missing", 4096, 0, True)
EMPTY_LIBTORCH = FileFault("torch/lib/libtorch_cpu.so", "size", 10**9, 0, True)
NUMPY_TAGS = ("cp312-cp312-manylinux_2_27_x86_64", "cp312-cp312-manylinux_2_28_x86_64")


def distribution(name, version, *faults, **fields):
    """A distribution with these faults among fifty files."""
    return Distribution(
        name, version, SITE, files_checked=50, fault_count=len(faults), faults=faults, **fields
    )


def looked(*distributions, base=None, **fields):
    """The healthy machine with these results of the comparison with RECORD."""
    return (base or machine()).but(integrity=Integrity("sizes", distributions, **fields))


WHOLE = (distribution("numpy", "2.4.6", wheel_tags=NUMPY_TAGS), distribution("safetensors", "0.8.0"))
WELL = looked(*WHOLE)
DOUBLED = looked(distribution("safetensors", "0.7.0", CUT), distribution("safetensors", "0.8.0"))
FROM_CONDA = machine().changed_package("safetensors", installer="conda")
EDITABLE = machine().changed_package("safetensors", editable=True)
DAMAGED_TORCH = machine().torch(problem="libtorch_cpu.so is truncated.")
GONE = "its editable source `/home/user/src/peft` is gone"

FAILING = {
    "PKG011": [
        looked(distribution("safetensors", "0.8.0", CUT)),
        looked(distribution("transformers", "5.23.0", EDITED)),
        looked(distribution("urllib3", "2.6.0", FileFault("urllib3/util.py", "missing", 9, 0, True))),
        looked(distribution("urllib3", "2.6.0", FileFault("urllib3/py.typed", "size", 9, 8))),
        looked(distribution("torch", "2.11.0", FileFault("torch/nn/modules.py", "contents", 9, 9))),
    ],
    "PKG012": [
        looked(Distribution("peft", "0.21.2", SITE, False)),
        looked(Distribution("peft", "0.21.2", SITE, False), Distribution("numpy", "2.4.6", SITE, False)),
    ],
    "PKG013": [
        looked(distribution("peft", "0.21.2", LOST, lost_entries=("peft/__init__.py",))),
        looked(leftovers=(SITE + "/flash_attn",)),
    ],
    "PKG014": [
        looked(pth_problems=(PthProblem(SITE + "/__editable__.peft.pth", "peft", "/home/user/gone"),)),
        looked(pth_problems=(PthProblem(SITE + "/old.pth", "", "/home/user/gone"),)),
        looked(pth_problems=(PthProblem(SITE + "/old.pth", "", "import gone_finder", "module"),)),
        machine().changed_package("peft", editable=True, problem=GONE),
    ],
    "PKG015": [
        looked(
            shared=(
                SharedFiles(
                    "triton",
                    ("pytorch-triton", "3.6.0"),
                    ("triton", "3.7.0"),
                    9,
                    ("triton/__init__.py", "triton/knobs.py"),
                ),
            )
        ),
        machine().installed(pytorch_triton="3.5.0"),
        looked(shared=(SharedFiles("cv2", ("opencv-python", "4.1"), ("opencv-python-headless", "4.2"), 9),)),
    ],
    "PKG016": [
        looked(distribution("numpy", "2.4.6", wheel_tags=("cp310-cp310-manylinux_2_28_x86_64",))),
        looked(distribution("numpy", "2.4.6", wheel_tags=("cp312-cp312-manylinux_2_28_aarch64",))),
        looked(distribution("urllib3", "2.6.0", wheel_tags=("cp313-abi3-manylinux_2_28_x86_64",))),
        looked(distribution("numpy", "2.4.6", wheel_tags=("cp312-cp312-win_amd64",))),
    ],
}
PASSING = {
    "PKG011": [
        WELL,
        DOUBLED,
        looked(distribution("safetensors", "0.8.0", CUT), base=FROM_CONDA),
        looked(distribution("safetensors", "0.8.0", CUT), base=EDITABLE),
        looked(distribution("torch", "2.11.0", EMPTY_LIBTORCH), base=DAMAGED_TORCH),
        FAILING["PKG013"][0],
    ],
    "PKG012": [
        WELL,
        looked(Distribution("safetensors", "0.8.0", SITE, False), base=FROM_CONDA),
        looked(
            Distribution("jinja2", "3.1", SITE, False),
            base=machine().but(
                packages=(
                    *machine().snapshot.packages,
                    package("jinja2", "3.1", installer="debian"),
                )
            ),
        ),
    ],
    "PKG013": [WELL],
    "PKG014": [WELL, machine()],
    "PKG015": [WELL, machine()],
    "PKG016": [
        WELL,
        looked(distribution("tokenizers", "0.23.3", wheel_tags=("cp310-abi3-manylinux2014_x86_64",))),
        looked(distribution("triton", "3.6.0", wheel_tags=("cp310-cp310-linux_x86_64", *NUMPY_TAGS))),
        looked(distribution("nvidia-nccl-cu13", "2.28.9", wheel_tags=("py3-none-manylinux_2_18_x86_64",))),
        looked(distribution("ours", "1", wheel_tags=("not a tag",))),
    ],
}
