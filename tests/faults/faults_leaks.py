"""Faults that come from outside the environment: folders before it on the search path, variables, configuration."""

import fakes
from box import CUDA_118_KERNELS
from fault import fault


@fault("P10", "CFG040", says=["datasets.py"])
def local_file_hides_a_package(box):
    """A datasets.py in the working folder."""
    (box.work / "datasets.py").write_text("rows = []\n")


@fault("L02", "CFG040", says=["random.py"])
def local_file_hides_a_standard_module(box):
    """A random.py in the working folder."""
    (box.work / "random.py").write_text("print('mine')\n")


@fault("P12", "CFG041", "PKG006", "PKG004", says=["PYTHONPATH"], also=["TRF", "PKG", "PFT", "CFG"])
def pythonpath_holds_an_old_transformers(box):
    """PYTHONPATH leads to a transformers 4.30."""
    folder = box.folder / "old/transformers"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('__version__ = "4.30.0"\n')
    box.environ["PYTHONPATH"] = str(folder.parent)


@fault("L04", "CFG041", "PKG004", says=["PYTHONPATH"], also=["TRF", "PKG", "PFT", "CFG"])
def pythonpath_holds_another_peft(box):
    """PYTHONPATH leads to a folder into which `pip install --target` put peft 0.13."""
    site = box.folder / "target"
    distribution = site / "peft-0.13.2.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.13.2\n\n")
    (site / "peft").mkdir()
    (site / "peft/__init__.py").write_text('__version__ = "0.13.2"\n')
    box.environ["PYTHONPATH"] = str(site)


@fault("P30", "CFG042", says=["conda"])
def conda_of_another_environment(box):
    """CONDA_PREFIX names an environment other than the one examined, and it holds a numpy."""
    meta = box.folder / "conda/conda-meta"
    meta.mkdir(parents=True)
    (meta / "numpy-1.24.0-py310_0.json").write_text('{"name": "numpy", "version": "1.24.0"}\n')
    box.environ["CONDA_PREFIX"] = str(meta.parent)


@fault("S12", "CFG049", says=["num_processes"])
def accelerate_wants_eight_gpus(box):
    """accelerate's configuration asks for 8 GPUs on a machine that has none."""
    path = box.home / ".cache/huggingface/accelerate/default_config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_processes: 8\n")


@fault("S16", "SYS020", says=["HOME", "home"])
def home_missing(box):
    """HOME names a folder that is not there."""
    box.environ["HOME"] = str(box.home.parent / "gone" / "home")


@fault("S17", "CFG020", says=["WORLD_SIZE"])
def stale_launch(box):
    """RANK and WORLD_SIZE of an old launch are set."""
    box.environ.update(RANK="1", WORLD_SIZE="4", MASTER_ADDR="10.0.0.3", MASTER_PORT="29500")


@fault("S18", "CFG022", says=["OFFLINE", "offline"])
def offline(box):
    """HF_HUB_OFFLINE=1: no model can be downloaded."""
    box.environ["HF_HUB_OFFLINE"] = "1"


@fault("S19", "CFG024", also=["TRF", "TOR", "PKG", "PFT", "BNB"], says=["PYTORCH_CUDA_ALLOC_CONF"])
def allocator_option_too_new(box):
    """PYTORCH_CUDA_ALLOC_CONF has an option that torch 2.0 stops at."""
    box.gpu(fakes.RTX_4090)
    box.cuda_torch("2.0.1+cu118", "11.8", CUDA_118_KERNELS)
    box.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"


@fault("S28", "CFG051", says=["expandable_segment:", "Unrecognized"])
def allocator_option_misspelt(box):
    """PYTORCH_CUDA_ALLOC_CONF has an option that no torch knows."""
    box.gpu_machine()
    box.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segment:True"


@fault("S20", "CFG025", says=["CUDA_LAUNCH_BLOCKING"])
def launch_blocking(box):
    """CUDA_LAUNCH_BLOCKING=1 was left from debugging."""
    box.gpu_machine()
    box.environ["CUDA_LAUNCH_BLOCKING"] = "1"


@fault("S21", "CFG026", also=["TRF", "PKG", "PFT"], says=["USE_TORCH", "USE_TF"])
def torch_switched_off(box):
    """USE_TF=1 makes transformers 4 go on without torch."""
    box.clone.release("transformers", "4.57.1", ["numpy>=1.17"])
    box.environ["USE_TF"] = "1"


@fault("S22", "CFG027", also=["PKG002"], says=["HF_TRANSFER", "hf_transfer"])
def transfer_package_missing(box):
    """HF_HUB_ENABLE_HF_TRANSFER=1 without the package."""
    box.clone.release("huggingface_hub", "0.36.0")
    box.environ["HF_HUB_ENABLE_HF_TRANSFER"] = "1"


@fault("S23", "CFG045", says=["LD_PRELOAD"])
def preload_gone(box):
    """LD_PRELOAD names a library that is not there: each program prints an error at its start."""
    box.environ["LD_PRELOAD"] = "/nonexistent/libtcmalloc.so.4"


@fault("S24", "CFG048", says=["TRANSFORMERS_CACHE"])
def retired_variable(box):
    """TRANSFORMERS_CACHE, which transformers 5 no longer reads."""
    box.environ["TRANSFORMERS_CACHE"] = str(box.folder / "cache")


@fault("S25", "CFG047", says=["CUDA_VISIBLE_DEVICE"])
def misspelt_variable(box):
    """CUDA_VISIBLE_DEVICE=1, without its S, on a machine with two GPUs."""
    box.gpu_machine(fakes.H100, fakes.H100.replace("3B", "5E"))
    box.environ["CUDA_VISIBLE_DEVICE"] = "1"


@fault("S27", "CFG012", says=["compiler", "gcc"])
def no_compiler(box):
    """A GPU machine, triton, and no C compiler on PATH."""
    box.gpu_machine()
    box.clone.install("triton", "3.7.1")
    box.environ["PATH"] = str(box.clone.folder / "bin")
