"""Faults of installed packages: versions, metadata, files."""

from fault import fault

# What transformers 4.40.0 declares (its METADATA).
TRANSFORMERS_4_40 = (
    "filelock",
    "huggingface-hub<1.0,>=0.19.3",
    "numpy>=1.17",
    "packaging>=20.0",
    "pyyaml>=5.1",
    "regex!=2019.12.17",
    "requests",
    "tokenizers<0.20,>=0.19",
    "safetensors>=0.4.1",
    "tqdm>=4.27",
)


@fault("P02", "PKG002", also=["PKG006", "TRF"], says=["huggingface"])
def dependency_too_old(box):
    """The metadata of huggingface_hub says 0.10.0."""
    clone = box.clone
    clone.package(clone.distribution("huggingface_hub")).rename(
        clone.site / "huggingface_hub-0.10.0.dist-info"
    )
    clone.headers("huggingface_hub", "Version", ["0.10.0"])


@fault("P03", "PKG002", says=["tokenizers"])
def tokenizers_too_old(box):
    """tokenizers 0.13.3, whole, under a transformers that wants 0.23."""
    box.clone.release("tokenizers", "0.13.3")


@fault("P04", "PKG005", also=["PKG"], says=["METADATA", "peft"])
def metadata_missing(box):
    """peft's METADATA is missing."""
    box.clone.remove(box.clone.distribution("peft") + "/METADATA")


@fault("P05", "PKG005", also=["PKG"], says=["METADATA", "transformers"])
def metadata_empty(box):
    """transformers' METADATA has no byte in it."""
    box.clone.cut(box.clone.distribution("transformers") + "/METADATA", 0)


@fault("P06", "PKG012", says=["RECORD"])
def record_missing(box):
    """accelerate's RECORD is missing."""
    box.clone.remove(box.clone.distribution("accelerate") + "/RECORD")


@fault("P07", "PKG001", also=["PKG"], says=["filelock"])
def requirement_missing(box):
    """filelock, which torch needs, was uninstalled."""
    box.clone.uninstall("filelock")


@fault("P08", "PKG011", says=["safetensors"])
def extension_cut_short(box):
    """The extension of safetensors holds its first 4 kB alone."""
    box.clone.cut(box.clone.file("safetensors/*.so"), 4096)


@fault("P09", "PKG011", says=["tokenizers"])
def extension_empty(box):
    """The extension of tokenizers has no byte in it."""
    box.clone.cut(box.clone.file("tokenizers/*.so"), 0)


@fault("P11", "PKG011", says=["numpy"])
def extension_missing(box):
    """The heart of numpy is gone, its metadata is there."""
    box.clone.remove(box.clone.file("numpy/_core/_multiarray_umath*.so"))


@fault("P13", "PKG011", also=["PKG"], says=["peft"])
def package_folder_gone(box):
    """peft's folder is gone, its dist-info stayed."""
    box.clone.remove("peft")


@fault("P14", "PKG014", also=["PKG011"], says=["editable", "peft"])
def editable_install_gone(box):
    """peft was installed editable, and the folder that its .pth names was deleted."""
    box.clone.remove("peft")
    box.clone.write("__editable__.peft-0.21.2.pth", "/home/me/src/peft-gone\n")


@fault("P15", "PKG005", "PKG014", also=["PKG"], says=["peft"])
def editable_source_gone(box):
    """peft's direct_url.json names an editable source that was deleted."""
    box.clone.remove("peft")
    name = box.clone.distribution("peft")
    told = '{"url": "file:///home/me/src/peft-gone", "dir_info": {"editable": true}}'
    box.clone.write(name + "/direct_url.json", told)


@fault("P16", "PKG013", also=["PKG011"], says=["bitsandbytes"])
def init_missing(box):
    """bitsandbytes has no __init__.py: it is imported as an empty namespace."""
    box.clone.remove("bitsandbytes/__init__.py")


@fault("P17", "PKG003", says=["numpy"])
def interrupted_upgrade(box):
    """Two dist-infos of numpy lie in one folder."""
    folder = box.clone.site / "numpy-1.26.4.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n\n")
    (folder / "RECORD").write_text("")


@fault("P18", "PKG002", also=["PKG", "TRF", "PFT", "BNB006"], says=["tokenizers", "huggingface"])
def transformers_of_two_years_ago(box):
    """transformers 4.40.0 with today's hub, tokenizers and peft."""
    box.clone.release("transformers", "4.40.0", TRANSFORMERS_4_40)


@fault("P19", "TRF003", "PKG002", "TRF002", also=["PFT", "PKG"], says=["accelerate"])
def accelerate_too_old(box):
    """accelerate 0.20.3 under today's transformers and peft."""
    box.clone.release("accelerate", "0.20.3")


@fault("P20", "TOR008", says=["torchaudio"])
def audio_of_another_build(box):
    """torchaudio for CUDA 13.0 beside a torch for the CPU."""
    box.clone.install("torchaudio", "2.13.0+cu130", ["torch==2.13.0"])


@fault("P21", "TOR008", "PKG002", says=["torchvision"])
def vision_of_another_torch(box):
    """torchvision 0.15.2, which declares torch 2.0.1, beside torch 2.13."""
    box.clone.install("torchvision", "0.15.2+cu118", ["numpy", "torch==2.0.1"])


@fault("P22", "BNB006", says=["0.46.0"])
def known_bad_release(box):
    """bitsandbytes 0.46.0."""
    box.clone.release("bitsandbytes", "0.46.0")


@fault("P23", "TRF002", "PFT001", also=["PFT", "TRF"], says=["peft"])
def peft_too_old(box):
    """peft 0.10.0, which declares a bare `transformers`, beside transformers 5.23."""
    box.clone.release(
        "peft", "0.10.0", ["numpy>=1.17", "torch>=1.13.0", "transformers", "accelerate>=0.21.0"]
    )


@fault("P24", "PKG007", says=["Python"])
def python_excluded(box):
    """peft's metadata asks for Python 3.12."""
    box.clone.headers("peft", "Requires-Python", [">=3.12"])


@fault("P25", "TRF001", also=["TRF", "TOR", "PKG"], says=["Disabling PyTorch", "torch>="])
def torch_that_transformers_disables(box):
    """torch 2.1.0 beside a transformers that goes on without any torch before 2.6."""
    box.clone.release("torch", "2.1.0")
    box.clone.write("torch/version.py", "__version__ = '2.1.0+cpu'\ncuda = None\nhip = None\n")
    box.clone.settle("torch")


@fault("P26", "TOR002", also=["PKG"], says=["libtorch_cpu"])
def libtorch_cut_short(box):
    """libtorch_cpu.so holds its first megabyte alone."""
    box.clone.cut("torch/lib/libtorch_cpu.so", 1 << 20)


@fault("P27", "TOR002", also=["PKG"], says=["version.py"])
def torch_version_file_gone(box):
    """torch/version.py is gone."""
    box.clone.remove("torch/version.py")


@fault("P28", "PKG015", says=["pytorch-triton", "pytorch_triton"])
def two_owners(box):
    """triton 3.7.0 and pytorch-triton 3.6.0 both own the folder triton."""
    box.clone.install("pytorch-triton", "3.6.0", files={"triton/__init__.py": '__version__ = "3.6.0"\n'})
    box.clone.install("triton", "3.7.0", files={"triton/__init__.py": '__version__ = "3.7.0"\n'})


@fault("P29", "TOR001", also=["PKG"], says=["No module named 'torch'", "torch is not installed"])
def torch_not_installed(box):
    """torch was uninstalled."""
    box.clone.uninstall("torch")


@fault("P32", "PKG006", says=["0.10.0"])
def code_and_metadata_differ(box):
    """peft's code says 0.10.0, its metadata another version."""
    lines = (box.clone.site / "peft/__init__.py").read_text().splitlines()
    changed = ['__version__ = "0.10.0"' if line.startswith("__version__") else line for line in lines]
    box.clone.write("peft/__init__.py", "\n".join(changed) + "\n")
    box.clone.settle("peft")


@fault("P33", "PKG005", says=["invalid distribution", "~ransformers"])
def remains_of_an_interrupted_install(box):
    """pip left ~ransformers-4.40.0.dist-info behind."""
    folder = box.clone.site / "~ransformers-4.40.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 4.40.0\n\n")


@fault("P34", "PKG005", also=["PKG"], says=["METADATA", "tokenizers"])
def metadata_of_bytes(box):
    """The disk put zeros where the METADATA of tokenizers was."""
    box.clone.package(box.clone.distribution("tokenizers") + "/METADATA").write_bytes(bytes(4096))


@fault("P35", "TRF005", also=["TRF", "PKG", "PFT"], says=["protobuf"])
def old_transformers_new_protobuf(box):
    """transformers 4.28.1 beside protobuf 7."""
    box.clone.release("transformers", "4.28.1", ["numpy>=1.17", "pyyaml>=5.1"])


@fault("P36", "TOR006", also=["TRF", "TOR", "PKG"], says=["numpy"])
def numpy_2_under_torch_2_0(box):
    """torch 2.0.1, compiled for numpy 1, beside numpy 2."""
    box.clone.release("torch", "2.0.1", ["filelock"])
    box.clone.write("torch/version.py", "__version__ = '2.0.1+cpu'\ncuda = None\nhip = None\n")
    box.clone.settle("torch")


@fault("P37", "PKG002", also=["PKG032"], says=["pyarrow"])
def pyarrow_too_old(box):
    """pyarrow 12 under a datasets that wants 24."""
    box.clone.release("pyarrow", "12.0.0")


@fault("P38", "PKG009", "PKG010", also=["PKG"], says=["setuptools"])
def triton_without_setuptools(box):
    """triton 3.2.0, which imports setuptools without declaring it, and no setuptools."""
    box.gpu_machine()
    box.clone.install("triton", "3.2.0")
    box.clone.uninstall("setuptools")


@fault("P39", "PKG016", says=["aarch64"])
def wheel_of_another_machine(box):
    """The wheel of safetensors is one for aarch64."""
    path = box.clone.package(box.clone.distribution("safetensors") + "/WHEEL")
    path.write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp310-abi3-manylinux_2_17_aarch64\n")
    box.clone.settle("safetensors")


@fault("P40", "PKG016", says=["cp38", "Python 3.8"])
def wheel_of_another_python(box):
    """numpy was copied from an environment of Python 3.8."""
    name = box.clone.file("numpy/_core/_multiarray_umath*.so")
    old = name.split(".")[0] + ".cpython-38-x86_64-linux-gnu.so"
    box.clone.package(name).rename(box.clone.site / old)
    path = box.clone.package(box.clone.distribution("numpy") + "/WHEEL")
    path.write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp38-cp38-manylinux_2_17_x86_64\n")
    record = box.clone.package(box.clone.distribution("numpy") + "/RECORD")
    record.write_text(record.read_text().replace(name, old))
    box.clone.settle("numpy")


@fault("P41", "PKG014", says=["no_such_hook"])
def pth_imports_what_is_gone(box):
    """A .pth imports a module that was removed: each start of Python prints a traceback."""
    box.clone.write("hook.pth", "import no_such_hook; no_such_hook.start()\n")


@fault("P42", "PKG005", "PKG014", also=["PKG"], says=["peft"])
def egg_link_to_nowhere(box):
    """An .egg-link, as `setup.py develop` makes it, leads to a folder that is gone."""
    box.clone.uninstall("peft")
    box.clone.write("peft.egg-link", "/home/me/src/peft-gone\n.\n")


@fault("P43", "TRF002", "PKG002", says=["safetensors"])
def safetensors_too_old(box):
    """safetensors 0.3.1 under a transformers that wants 0.8."""
    box.clone.release("safetensors", "0.3.1")


@fault("P44", "PKG008", "PKG001", says=["pytz"])
def somebody_elses_requirement(box):
    """A package that training does not need lacks one of its own."""
    box.clone.install("mkdocs-thing", "1.0", ["pytz-that-is-absent>=2"])
