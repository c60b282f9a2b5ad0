"""Faults of settings: variables of the libraries, accelerate's file, pip's options, what a compiler is given."""

import fakes
from box import CUDA_118_KERNELS, Box
from fault import fault

RTX_5090 = "NVIDIA GeForce RTX 5090|12.0|32607|-|-|0|0|00000000:01:00.0"
CONFIG = ".cache/huggingface/accelerate/default_config.yaml"


def accelerate_file(box: Box, text: str) -> None:
    """accelerate's default configuration with that text."""
    path = box.home / CONFIG
    path.parent.mkdir(parents=True)
    path.write_text(text)


@fault("H27", "CFG085", says=["REQUESTS_CA_BUNDLE"])
def certificates_gone(box):
    """REQUESTS_CA_BUNDLE names a file that is not there."""
    box.environ["REQUESTS_CA_BUNDLE"] = str(box.folder / "gone.pem")


@fault("H28", "CFG086", says=["HF_HOME"])
def cache_is_a_file(box):
    """HF_HOME names a file."""
    path = box.folder / "hf"
    path.write_text("")
    box.environ["HF_HOME"] = str(path)


@fault("H29", "CFG083", says=["HF_ENDPOINT"])
def endpoint_without_scheme(box):
    """HF_ENDPOINT without https://."""
    box.environ["HF_ENDPOINT"] = "mirror.example"


@fault("H30", "CFG084", says=["token"])
def token_is_a_placeholder(box):
    """HF_TOKEN still says hf_your_token_here."""
    box.environ["HF_TOKEN"] = "hf_your_token_here"


@fault("H31", "CFG087", says=["quotes"])
def quotes_of_an_env_file(box):
    """HF_HOME with the quotes that docker's --env-file left in."""
    box.environ["HF_HOME"] = '"/data/hf"'


@fault("H32", "CFG081", says=["HF_HUB_DOWNLOAD_TIMEOUT"])
def timeout_with_a_unit(box):
    """HF_HUB_DOWNLOAD_TIMEOUT=30s ends the import of huggingface_hub."""
    box.environ["HF_HUB_DOWNLOAD_TIMEOUT"] = "30s"


@fault("H33", "CFG096", says=["expandable_segments", "True"])
def allocator_option_in_small_letters(box):
    """expandable_segments:true, of which torch takes only True."""
    box.gpu_machine()
    box.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:true"


@fault("H34", "CFG095", says=["CUDA_FORCE_PTX_JIT"])
def ptx_forced(box):
    """CUDA_FORCE_PTX_JIT=1 under a torch without PTX."""
    box.gpu_machine()
    box.environ["CUDA_FORCE_PTX_JIT"] = "1"


@fault("H35", "CFG082", says=["OMP_NUM_THREADS"])
def no_threads(box):
    """OMP_NUM_THREADS=0."""
    box.environ["OMP_NUM_THREADS"] = "0"


@fault("H36", "CFG080", says=["NCCL_SOCKET_IFNAME"])
def interface_of_another_machine(box):
    """NCCL_SOCKET_IFNAME names an interface that a machine of two GPUs has not."""
    box.gpu_machine(fakes.H100, fakes.H100.replace("3B", "5E"))
    fakes.machine(box.root, {"/sys/class/net/eth0/mtu": "1500\n", "/sys/class/net/lo/mtu": "65536\n"})
    box.environ["NCCL_SOCKET_IFNAME"] = "ens5"


@fault("H37", "CFG088", says=["PIP_TARGET"])
def pip_target_left_over(box):
    """PIP_TARGET leads every installation to another folder."""
    box.environ["PIP_TARGET"] = "/opt/layer"


@fault("H38", "CFG088", says=["--user"])
def pip_user_in_an_environment(box):
    """PIP_USER=1 within a virtual environment: pip refuses."""
    box.environ["PIP_USER"] = "1"


@fault("H39", "CFG089", says=["SOCKS", "socksio"])
def socks_without_its_package(box):
    """A SOCKS proxy, and no package for it."""
    box.environ["ALL_PROXY"] = "socks5://127.0.0.1:7890"


@fault("H40", "CFG090", says=["unknown key"])
def accelerate_file_of_a_later_release(box):
    """accelerate's configuration has a key that the installed release refuses."""
    accelerate_file(box, "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nfp9_config: {}\n")


@fault("H41", "CFG090", says=["configuration"])
def accelerate_file_empty(box):
    """accelerate's configuration is empty: a disk was full when it was written."""
    accelerate_file(box, "")


@fault("H42", "CFG091", says=["deepspeed_config_file"])
def deepspeed_file_gone(box):
    """accelerate's configuration names a deepspeed file that is not there."""
    box.gpu_machine()
    text = (
        "distributed_type: 'DEEPSPEED'\nnum_processes: 1\n"
        "deepspeed_config:\n  deepspeed_config_file: /gone/zero3.json\n"
    )
    accelerate_file(box, text)


@fault("H43", "CFG092", says=["deepspeed", "DeepSpeed"])
def deepspeed_variable_left_over(box):
    """ACCELERATE_USE_DEEPSPEED=true, and no deepspeed."""
    box.environ["ACCELERATE_USE_DEEPSPEED"] = "true"


@fault("H45", "CFG100", says=["gcc"])
def gcc_too_new_for_nvcc(box):
    """deepspeed, nvcc 11.8 and a gcc that it refuses."""
    box.gpu("NVIDIA A100-SXM4-40GB|8.0|40960|0|1|0|0|00000000:07:00.0")
    box.cuda_torch("2.13.0+cu118", "11.8", CUDA_118_KERNELS)
    box.clone.install("deepspeed", "0.18.2")
    folder = box.clone.own("bin")
    fakes.program(folder, "nvcc", "echo 'Cuda compilation tools, release 11.8, V11.8.89'")
    fakes.program(folder, "gcc", "echo 14.2.0")
    box.environ.pop("CUDA_HOME", None)


@fault("H46", "CFG101", says=["compute_120", "toolkit"])
def toolkit_before_blackwell(box):
    """deepspeed on an RTX 5090, and a toolkit of CUDA 12.4."""
    box.gpu(RTX_5090)
    box.cuda_torch("2.13.0+cu128", "12.8", "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120")
    box.clone.install("deepspeed", "0.18.2")
    fakes.program(box.clone.own("bin"), "nvcc", "echo 'Cuda compilation tools, release 12.4, V12.4.131'")


@fault("H52", "CFG012", says=["gcc", "compiler"])
def no_compiler_without_a_gpu(box):
    """No C compiler on PATH of a machine that has no GPU."""
    folder = box.folder / "programs"
    folder.mkdir()
    for name in ("sh", "uname"):
        (folder / name).symlink_to(f"/bin/{name}")
    box.environ["PATH"] = f"{box.clone.folder / 'bin'}:{folder}"


@fault("H54", "CFG105", also=["TOR", "TRF", "PFT", "BNB"], says=["TORCH_LOGS"])
def torch_logs_misspelt(box):
    """TORCH_LOGS names a log that is not there: `import torch` fails."""
    box.environ["TORCH_LOGS"] = "+dynmo"


@fault("H55", "CFG094", also=["TRF", "PFT"], says=["PYTHONOPTIMIZE", "docstring"])
def documentation_taken_away(box):
    """PYTHONOPTIMIZE=2, with which models of transformers cannot be imported."""
    box.environ["PYTHONOPTIMIZE"] = "2"
