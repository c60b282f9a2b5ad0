"""Faults of how packages fit: soft constraints, known pairs, wrong names, builds for another CUDA, remains."""

from fault import fault

TORCH = ("torch>=1.10",)


@fault("K01", "PFT010", says=["torchao"])
def torchao_that_peft_refuses(box):
    """torchao 0.14.1, for which peft raises whenever it is installed."""
    box.clone.install("torchao", "0.14.1")


@fault("K02", "PFT010", says=["gptqmodel"])
def gptqmodel_that_peft_refuses(box):
    """gptqmodel 2.0.0 beside a peft that wants 7.0."""
    box.clone.install("gptqmodel", "2.0.0")


@fault("K03", "TRF010", says=["gguf"])
def gguf_that_transformers_passes_over(box):
    """gguf 0.6.0: for transformers it is not installed."""
    box.clone.install("gguf", "0.6.0")


@fault("K04", "TRF011", says=["trl"])
def trl_of_two_years_ago(box):
    """trl 0.7.11, which imports what transformers no longer has."""
    box.clone.install("trl", "0.7.11", ["torch", "transformers>=4.31.0", "accelerate", "datasets"])


@fault("K05", "TRF012", says=["diffusers"])
def diffusers_without_cached_download(box):
    """diffusers 0.27.2 imports cached_download, which huggingface_hub removed."""
    box.clone.install("diffusers", "0.27.2", ["huggingface-hub>=0.20.2"])


@fault("K06", "TRF012", "PKG040", also=["PKG010", "TRF012"], says=["datasets"])
def datasets_without_hf_folder(box):
    """datasets 2.15.0 imports HfFolder, which huggingface_hub 1.0 removed."""
    box.clone.release("datasets", "2.15.0", ["pyarrow>=8.0.0", "huggingface-hub>=0.18.0"])


@fault("K07", "PKG032", says=["scikit-learn", "scikit_learn"])
def scikit_learn_for_numpy_1(box):
    """scikit-learn 1.3.2, compiled for NumPy 1, beside NumPy 2."""
    box.clone.install("scikit-learn", "1.3.2", ["numpy>=1.17.3"], files={"sklearn/__init__.py": "\n"})


@fault("K08", "PKG032", also=["PKG"], says=["pandas"])
def pandas_for_numpy_1(box):
    """pandas 2.0.3, compiled for NumPy 1, beside NumPy 2."""
    box.clone.release("pandas", "2.0.3", ["numpy>=1.21.0"])


@fault("K09", "PKG033", says=["tensorboard"])
def tensorboard_without_pkg_resources(box):
    """tensorboard 2.20 imports pkg_resources, which setuptools 82 removed."""
    box.clone.install("tensorboard", "2.20.0", ["setuptools>=41.0.0"])


@fault("K10", "PKG034", says=["deepspeed"])
def deepspeed_before_the_logger(box):
    """deepspeed 0.14.0 imports a name that torch 2.4 renamed."""
    box.clone.install("deepspeed", "0.14.0", ["torch"])


@fault("K11", "PKG035", says=["pytorch 1.0.2"])
def pytorch_by_the_wrong_name(box):
    """The placeholder `pytorch` was installed."""
    box.clone.install("pytorch", "1.0.2", files={"pytorch_placeholder.py": "\n"})


@fault(
    "K12",
    "PKG035",
    "PKG015",
    also=["PKG011", "PKG015"],
    says=["adapter-transformers", "adapter_transformers"],
)
def fork_over_transformers(box):
    """adapter-transformers 3.2.1 wrote over the folder of transformers."""
    box.clone.install(
        "adapter-transformers", "3.2.1", files={"transformers/adapters/__init__.py": "adapters = 1\n"}
    )


@fault("K13", "PKG035", "PKG015", says=["bitsandbytes-cuda117", "bitsandbytes_cuda117"])
def bitsandbytes_of_one_cuda(box):
    """bitsandbytes-cuda117 of 2022 lies beside bitsandbytes."""
    box.clone.install("bitsandbytes-cuda117", "0.26.0.post2", files={"bitsandbytes/nn_old.py": "old = 1\n"})


@fault("K14", "PKG036", says=["cu118"])
def extension_for_another_cuda(box):
    """xformers 0.0.28+cu118 beside a torch for CUDA 13.0."""
    box.gpu_machine()
    box.clone.install("xformers", "0.0.28+cu118", TORCH)


@fault("K15", "PKG036", says=["pt20cu117"])
def extension_for_another_torch(box):
    """torch-scatter 2.1.2+pt20cu117 beside torch 2.13."""
    box.gpu_machine()
    box.clone.install("torch-scatter", "2.1.2+pt20cu117")


@fault("K16", "PKG036", says=["cu121"])
def cuda_extension_on_cpu_torch(box):
    """xformers 0.0.28+cu121 beside a torch for the CPU."""
    box.clone.install("xformers", "0.0.28+cu121", TORCH)


@fault("K17", "PKG037", says=["nvidia-cublas-cu12", "nvidia_cublas_cu12"])
def cuda_wheels_left_behind(box):
    """The CUDA wheels of a torch that was replaced by one for the CPU."""
    for name, version in (("nvidia-cublas-cu12", "12.8.4.1"), ("nvidia-cudnn-cu12", "9.10.2.21")):
        box.clone.install(name, version, files={f"nvidia/{name}/__init__.py": "\n"})


@fault("K18", "PKG015", says=["nvidia-cublas"], quick=False)
def two_wheels_of_one_library(box):
    """nvidia-cublas and nvidia-cublas-cu12 both own libcublas.so.12."""
    library = {"nvidia/cublas/lib/libcublas.so.12": "not really\n"}
    box.clone.install("nvidia-cublas", "12.9.1.4", files=library)
    box.clone.install("nvidia-cublas-cu12", "12.9.1.4", files=library)


@fault("K19", "PKG040", also=["PKG010", "PKG002", "TRF012"], says=["datasets"])
def datasets_of_four_years_ago(box):
    """A resolver went back to datasets 1.18.4 of 2022."""
    box.clone.install("trl", "1.16.0", ["transformers>=4.56"])
    box.clone.release(
        "datasets", "1.18.4", ["numpy>=1.17", "pyarrow!=4.0.0,>=3.0.0", "huggingface-hub>=0.1.0"]
    )


@fault("K20", "PKG041", says=["~orch"])
def folder_that_pip_set_aside(box):
    """pip was killed while it replaced torch: ~orch is left."""
    (box.clone.site / "~orch").mkdir()
    (box.clone.site / "~orch" / "__init__.py").write_text("\n")


@fault("K21", "PKG042", says=["old_module"], quick=False)
def modules_of_an_older_release(box):
    """An archive was unpacked over peft, and modules of the older release stayed."""
    box.clone.write("peft/old_module.py", "old = 1\n")


@fault("K22", "PKG043", says=["peft"])
def folder_named_otherwise(box):
    """peft's dist-info is named 0.10.0, and its METADATA says another release."""
    clone = box.clone
    clone.package(clone.distribution("peft")).rename(clone.site / "peft-0.10.0.dist-info")


@fault("K23", "PKG043", says=["accelerate"])
def metadata_edited(box):
    """Somebody wrote another version into accelerate's METADATA."""
    clone = box.clone
    path = clone.package(clone.distribution("accelerate") + "/METADATA")
    path.write_text(path.read_text("utf-8").replace("\nVersion: ", "\nVersion: 1.9", 1), "utf-8")


@fault("K24", "PKG044", says=["pytorch"])
def pip_over_conda(box):
    """conda's list says pytorch 2.5.1 in this prefix, and pip laid torch 2.13 over it."""
    meta = box.clone.folder / "conda-meta"
    meta.mkdir()
    (meta / "pytorch-2.5.1-py3.11_cpu_0.json").write_text("{}")


@fault("K25", "PKG045", also=["PKG"], says=["peft"])
def links_into_an_emptied_cache(box):
    """uv installed peft as links into its cache, and the cache was cleaned."""
    clone = box.clone
    clone.remove("peft")
    (clone.site / "peft").symlink_to("/home/me/.cache/uv/archive-v0/gone/peft")


@fault("K26", "PKG046", says=["RECORD"], quick=False)
def record_empty(box):
    """accelerate's RECORD has no byte in it."""
    box.clone.cut(box.clone.distribution("accelerate") + "/RECORD", 0)


@fault("K27", "PKG046", says=["RECORD"], quick=False)
def record_cut_short(box):
    """peft's RECORD holds its first kilobyte alone."""
    box.clone.cut(box.clone.distribution("peft") + "/RECORD", 1024)


@fault("K28", "PKG016", says=["musllinux"])
def wheel_for_musl(box):
    """The wheel of safetensors is one for Alpine."""
    path = box.clone.package(box.clone.distribution("safetensors") + "/WHEEL")
    path.write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp310-abi3-musllinux_1_2_x86_64\n")
    box.clone.settle("safetensors")


@fault("K29", "PKG011", says=["safetensors"])
def library_of_another_machine(box):
    """The extension of safetensors was copied from a machine with ARM processors."""
    name = box.clone.file("safetensors/*.so")
    path = box.clone.package(name)
    data = bytearray(path.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")
    path.unlink()
    path.write_bytes(bytes(data) + b"\0" * 8)


@fault("K30", "PKG015", says=["onnxruntime-gpu", "onnxruntime_gpu"])
def two_onnxruntimes(box):
    """onnxruntime and onnxruntime-gpu own one import name."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        box.clone.install(name, "1.31.1", files={"onnxruntime/__init__.py": '__version__ = "1.31.1"\n'})


@fault("K31", "PKG002", says=["trl"])
def trainer_with_another_transformers(box):
    """trl declares a transformers that is not the one installed."""
    box.clone.install("trl", "0.24.0", ["transformers<5,>=4.56.1"])


@fault("K32", "PKG031", says=["vllm"])
def vllm_that_trl_was_not_tried_with(box):
    """vllm 0.10 beside a trl whose extra asks for 0.22."""
    box.clone.install("trl", "1.16.0", ['vllm<=0.31.0,>=0.22.0; extra == "vllm"'])
    box.clone.install("vllm", "0.10.2")


@fault("K33", "PFT002", "TRF003", also=["TRF"], says=["accelerate"])
def accelerate_without_clear_device_cache(box):
    """accelerate 0.30.1 under a peft that imports what came later."""
    box.clone.release("accelerate", "0.30.1")


@fault("K34", "PKG038", says=["nvidia"])
def cuda_wheels_in_the_user_site(box):
    """torch's cuDNN wheel was found in a folder of PYTHONPATH, and torch lies in the environment."""
    box.gpu_machine()
    box.clone.headers("torch", "Requires-Dist", ["nvidia-cudnn-cu13==9.20.0.48"])
    place = box.home / "site" / "nvidia_cudnn_cu13-9.20.0.48.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cudnn-cu13\nVersion: 9.20.0.48\n\n")
    box.environ["PYTHONPATH"] = str(place.parent)


@fault("K35", "PKG010", also=["PKG001", "PKG040", "PKG002", "TRF012"], says=["fsspec"])
def fsspec_that_old_datasets_refuse(box):
    """datasets 2.14.4, to which a resolver went back, beside an fsspec of three years later."""
    box.clone.release("datasets", "2.14.4", ["fsspec[http]>=2021.11.1", "pyarrow>=8.0.0"])


@fault("K36", "PKG010", says=["jinja2"])
def jinja_too_old_for_chat_templates(box):
    """jinja2 3.1.2 under a transformers whose chat templates want 3.1.6."""
    box.clone.release("jinja2", "3.1.2")


@fault("K37", "PKG047", says=["patched-by-me"])
def version_by_hand(box):
    """accelerate's METADATA names a version that nothing can compare."""
    path = box.clone.package(box.clone.distribution("accelerate") + "/METADATA")
    path.write_text(path.read_text("utf-8").replace("\nVersion: ", "\nVersion: patched-by-me-", 1), "utf-8")


@fault("K38", "PKG048", says=["peft"])
def peft_not_installed(box):
    """peft, which nothing requires, was uninstalled."""
    box.clone.uninstall("peft")
