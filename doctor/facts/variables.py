"""The environment variables that change what a training run does, by a list of names: nothing else is kept.

A secret is kept as the fact that it is set. Every other value loses credentials that stand in an address.
"""

from typing import Dict, Mapping, Tuple

from envdoc.doctor.redact import without_credentials

SECRET_IS_SET = "<set>"

# Name and reason, by the document that defines them. Read 2026-11-24.
_CUDA = (  # NVIDIA, "CUDA C++ Programming Guide", environment variables; container toolkit's documentation
    ("CUDA_VISIBLE_DEVICES", "hides or reorders GPUs; an empty value hides all"),
    ("CUDA_DEVICE_ORDER", "whether GPU 0 is the fastest or the first on the bus"),
    ("CUDA_LAUNCH_BLOCKING", "makes every kernel synchronous: right for debugging, slow for training"),
    ("CUDA_MODULE_LOADING", "lazy or eager loading of kernels"),
    ("CUDA_FORCE_PTX_JIT", "ignores the compiled kernels"),
    ("CUDA_DISABLE_PTX_JIT", "forbids kernels for a newer GPU to be made from PTX"),
    ("CUDA_CACHE_PATH", "where kernels made from PTX are kept"),
    ("CUDA_CACHE_DISABLE", "whether they are kept"),
    ("CUDA_HOME", "the toolkit that extensions are compiled with"),
    ("CUDA_PATH", "the same, by another name"),
    ("NVIDIA_VISIBLE_DEVICES", "which GPUs the container was given"),
    ("NVIDIA_DRIVER_CAPABILITIES", "whether the container was given compute and utility libraries"),
    ("NVIDIA_DISABLE_REQUIRE", "whether the image's demand on the driver was skipped"),
    ("NVIDIA_PYTORCH_VERSION", "runs in NVIDIA's image of PyTorch, whose torch is a build of its own"),
    ("PYTORCH_BUILD_VERSION", "that torch's version"),
    ("NVIDIA_TF32_OVERRIDE", "turns TF32 off for every library"),
    ("CUDA_DEVICE_MAX_CONNECTIONS", "how many kernels are queued side by side"),
    ("CUBLAS_WORKSPACE_CONFIG", "deterministic results, or an error"),
)
_TORCH = (  # PyTorch documentation: "CUDA environment variables", "Threading environment variables", torchrun
    ("PYTORCH_CUDA_ALLOC_CONF", "the allocator's options; one that it does not know ends the run"),
    ("PYTORCH_ALLOC_CONF", "the same, newer name"),
    ("PYTORCH_NO_CUDA_MEMORY_CACHING", "turns the caching allocator off"),
    ("PYTORCH_NVML_BASED_CUDA_CHECK", "lets is_available() ask NVML instead of the driver"),
    ("TORCH_CUDA_ARCH_LIST", "what extensions are compiled for"),
    ("TORCH_HOME", "where torch.hub keeps files"),
    ("TORCH_EXTENSIONS_DIR", "where compiled extensions are kept"),
    ("TORCHINDUCTOR_CACHE_DIR", "where compiled graphs are kept"),
    ("TRITON_CACHE_DIR", "where compiled kernels are kept"),
    ("TORCH_NCCL_ASYNC_ERROR_HANDLING", "whether a hanging collective ends the run"),
    ("OMP_NUM_THREADS", "threads for each process"),
    ("MKL_NUM_THREADS", "threads for each process"),
    ("MKL_THREADING_LAYER", "INTEL beside GNU's OpenMP ends with an import error"),
    ("RANK", "makes a single process wait for others when it is left over"),
    ("LOCAL_RANK", "likewise"),
    ("WORLD_SIZE", "likewise"),
    ("LOCAL_WORLD_SIZE", "likewise"),
    ("MASTER_ADDR", "likewise"),
    ("MASTER_PORT", "likewise"),
    ("GLOO_SOCKET_IFNAME", "the network interface"),
    ("TP_SOCKET_IFNAME", "likewise"),
    ("TORCHELASTIC_RUN_ID", "torchrun set the variables of a launch"),
    ("NODE_RANK", "a cluster's platform set them"),
    ("OMPI_COMM_WORLD_SIZE", "MPI's count of processes, which accelerate reads"),
    ("PMI_SIZE", "likewise"),
    ("TORCH_COMPILE_DISABLE", "turns torch.compile off"),
    ("TORCHDYNAMO_DISABLE", "likewise"),
    ("PYTORCH_JIT", "0 turns TorchScript off"),
    ("TORCH_LOGS", "what torch.compile tells; a word that it does not know ends the import"),
    ("TRITON_INTERPRET", "1 runs kernels of triton in Python"),
    ("TRITON_LIBCUDA_PATH", "where triton finds libcuda"),
    ("MAX_JOBS", "compilers that run side by side"),
    ("CC", "the compiler that triton and extensions use"),
    ("CXX", "likewise"),
)
_NCCL = (  # NVIDIA, "NCCL Environment Variables"
    ("NCCL_P2P_DISABLE", "needed on GeForce cards of the 40 series"),
    ("NCCL_IB_DISABLE", "likewise"),
    ("NCCL_SHM_DISABLE", "works around a small /dev/shm"),
    ("NCCL_SOCKET_IFNAME", "the network interface"),
    ("NCCL_DEBUG", "how much NCCL prints"),
    ("NCCL_TOPO_FILE", "the machine's topology, on some clouds"),
)
_HUGGING_FACE = (  # huggingface_hub "Environment variables"; transformers "Installation"; datasets "Cache management"
    ("HF_HOME", "where models and data are kept"),
    ("HF_HUB_CACHE", "where models are kept"),
    ("HUGGINGFACE_HUB_CACHE", "the same, older name"),
    ("TRANSFORMERS_CACHE", "older still"),
    ("HF_DATASETS_CACHE", "where prepared data is kept"),
    ("HF_ENDPOINT", "another server for models; read when the library is imported"),
    ("HF_HUB_OFFLINE", "forbids downloads"),
    ("TRANSFORMERS_OFFLINE", "likewise"),
    ("HF_DATASETS_OFFLINE", "likewise"),
    ("HF_HUB_ENABLE_HF_TRANSFER", "needs a package of that name, and fails without it"),
    ("HF_HUB_DISABLE_XET", "another way to download"),
    ("HF_HUB_ETAG_TIMEOUT", "seconds before a question to the hub fails; no number ends the import"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "seconds before a download fails"),
    ("HF_TOKEN_PATH", "where the token is kept"),
    ("USE_TORCH", "NO makes transformers go on without torch"),
    ("USE_TF", "1 makes transformers go on without torch"),
    ("USE_FLAX", "likewise"),
    ("TOKENIZERS_PARALLELISM", "silences the warning about forks"),
    ("TRANSFORMERS_VERBOSITY", "how much transformers prints"),
)
_BITSANDBYTES = (  # bitsandbytes, cextension.py and cuda_specs.py, 0.37 to 0.50
    ("BNB_CUDA_VERSION", "names the library to load, even one that is absent"),
    ("BNB_ROCM_VERSION", "likewise"),
    ("HIP_VISIBLE_DEVICES", "hides AMD GPUs; nothing of NVIDIA reads it"),
    ("ROCR_VISIBLE_DEVICES", "likewise"),
    ("BITSANDBYTES_NOWELCOME", "silences 0.3x"),
)
_ACCELERATE = (  # accelerate, utils/launch.py and state.py
    ("ACCELERATE_USE_CPU", "trains on the CPU"),
    ("ACCELERATE_MIXED_PRECISION", "overrides the script's own"),
    ("ACCELERATE_USE_FSDP", "left over from another launch"),
    ("ACCELERATE_USE_DEEPSPEED", "likewise"),
    ("DS_SKIP_CUDA_CHECK", "deepspeed compiles although the toolkit does not fit torch"),
    ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "likewise"),
    ("ACCELERATE_DYNAMO_BACKEND", "compiles the model"),
    ("WANDB_DISABLED", "keeps wandb out"),
    ("WANDB_MODE", "likewise"),
)
_PYTHON = (  # Python documentation, "Command line and environment"; pip, uv, conda and virtualenv documentation
    ("VIRTUAL_ENV", "the active environment"),
    ("CONDA_PREFIX", "the active conda environment"),
    ("CONDA_DEFAULT_ENV", "its name"),
    ("PYTHONPATH", "lays packages over those of the environment"),
    ("PYTHONHOME", "breaks every other interpreter"),
    ("PYTHONNOUSERSITE", "keeps the user's own site-packages out"),
    ("PYTHONUSERBASE", "where they are"),
    ("PYTHONSAFEPATH", "keeps the working folder out"),
    ("PYTHONUTF8", "the encoding of every file"),
    ("PYTHONIOENCODING", "the encoding of the terminal"),
    ("PYTHONDONTWRITEBYTECODE", "slows every start"),
    ("PYTHONOPTIMIZE", "removes the assertions that libraries rely on"),
    ("PIP_INDEX_URL", "where pip installs from"),
    ("PIP_EXTRA_INDEX_URL", "likewise"),
    ("PIP_FIND_LINKS", "likewise"),
    ("PIP_NO_INDEX", "likewise"),
    ("PIP_CONFIG_FILE", "likewise"),
    ("PIP_CONSTRAINT", "versions that pip holds fast, as NVIDIA's images do"),
    ("PIP_CERT", "the certificates that pip trusts"),
    ("PIP_USER", "installs beside the environment"),
    ("PIP_TARGET", "likewise"),
    ("PIP_PREFIX", "likewise"),
    ("PIP_ROOT", "likewise"),
    ("PIP_REQUIRE_VIRTUALENV", "refuses to install elsewhere"),
    ("PIP_NO_BINARY", "builds from source what has a wheel"),
    ("PIP_NO_DEPS", "installs a package without what it needs"),
    ("UV_OFFLINE", "uv installs from its cache alone"),
    ("UV_INDEX_URL", "where uv installs from"),
    ("UV_DEFAULT_INDEX", "likewise"),
    ("UV_TORCH_BACKEND", "which torch uv chooses"),
)
_SYSTEM = (  # ld.so(8), locale(7), XDG base directories, requests and curl documentation, Jupyter
    ("LD_LIBRARY_PATH", "other libraries before those of the wheels"),
    ("LD_PRELOAD", "likewise"),
    ("PATH", "which compiler, which python"),
    ("HOME", "where caches go"),
    ("TMP", "likewise, where TMPDIR is not set"),
    ("TEMP", "likewise"),
    ("TMPDIR", "where kernels are compiled and wheels unpacked"),
    ("XDG_CACHE_HOME", "where caches go"),
    ("LANG", "the encoding of files and terminal"),
    ("LC_ALL", "likewise"),
    ("LC_CTYPE", "likewise"),
    ("HTTP_PROXY", "the way out"),
    ("HTTPS_PROXY", "likewise"),
    ("ALL_PROXY", "likewise"),
    ("NO_PROXY", "likewise"),
    ("http_proxy", "likewise"),
    ("https_proxy", "likewise"),
    ("all_proxy", "likewise"),
    ("no_proxy", "likewise"),
    ("SSL_CERT_FILE", "the certificates that downloads trust"),
    ("REQUESTS_CA_BUNDLE", "likewise"),
    ("CURL_CA_BUNDLE", "likewise"),
    ("SSL_CERT_DIR", "likewise"),
    ("KUBERNETES_SERVICE_HOST", "runs in a pod"),
    ("SLURM_JOB_ID", "runs under Slurm, which sets limits of its own"),
    ("JPY_PARENT_PID", "runs in a notebook"),
    ("COLAB_RELEASE_TAG", "runs in Colab"),
    ("KAGGLE_KERNEL_RUN_TYPE", "runs in a Kaggle notebook"),
    ("WSL_DISTRO_NAME", "runs in the Windows Subsystem for Linux"),
    ("ENVDOC_HOME", "envdoc's own folder"),
)
ALLOWED: Tuple[Tuple[str, str], ...] = (
    *_CUDA,
    *_TORCH,
    *_NCCL,
    *_HUGGING_FACE,
    *_BITSANDBYTES,
    *_ACCELERATE,
    *_PYTHON,
    *_SYSTEM,
)
# Of these only the fact that they are set is kept: a gated model needs one, and a log-in to wandb may stop a run.
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "WANDB_API_KEY")


def variables(environ: Mapping[str, str]) -> Dict[str, str]:
    """The allowed variables that are set (an empty value is one), without credentials; secrets as "<set>"."""
    kept = {name: without_credentials(environ[name]) for name, _ in ALLOWED if name in environ}
    kept.update((name, SECRET_IS_SET) for name in SECRETS if environ.get(name))
    return kept
