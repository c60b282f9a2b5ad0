"""For each rule about what lies around the environment: machines that fail it and machines that pass."""

from rule_machines import GTX_1080, RTX_4090, SITE, machine

from envdoc.doctor.facts.surroundings import AccelerateConfig, CondaEnvironment, Shadow, StrayLibrary

M = machine()
WORK = "/home/user/work"
STUBS = "/usr/local/lib/stubs"
OLD_LIBRARIES = (
    StrayLibrary("/srv/old/lib/libcudart.so.11.0", "LD_LIBRARY_PATH"),
    StrayLibrary("/srv/old/lib/libcudnn.so.8", "LD_LIBRARY_PATH"),
)
SAME_NAME = (StrayLibrary("/srv/old/lib/libcudnn.so.9", "LD_LIBRARY_PATH"),)
CPU = M.without_gpu().torch(version="2.13.0+cpu", cuda=None)


def hidden(module, name, origin="working folder", version="", standard=False, folder=WORK):
    """A machine on which `name` lies before the module."""
    hides = f"/usr/lib/python3.12/{module}.py" if standard else f"{SITE}/{module}"
    return M.surroundings(shadows=(Shadow(module, f"{folder}/{name}", hides, origin, standard, version),))


def configured(machine=M, **values):
    """The machine with these lines in accelerate's default configuration."""
    path = "/home/user/.cache/huggingface/accelerate/default_config.yaml"
    return machine.surroundings(accelerate=AccelerateConfig(path, values))


def conda(prefix, *packages):
    """The machine with that conda environment active."""
    return M.surroundings(conda=CondaEnvironment(prefix, packages))


def pip(pip, python, path_python="/home/user/env/bin/python", machine=M):
    """The machine with that pip and that python first on PATH."""
    return machine.surroundings(pip=pip, pip_python=python, path_python=path_python)


def named(*names):
    """The machine with variables of these names."""
    return M.surroundings(variable_names=names)


HEADERS = {"has_python_headers": False}

FAILING = {
    "CFG040": [
        hidden("datasets", "datasets.py"),
        hidden("peft", "peft", version="0.3.0"),
        hidden("random", "random.py", standard=True),
        hidden("huggingface_hub", "huggingface_hub"),
    ],
    "CFG041": [
        hidden("transformers", "transformers", "PYTHONPATH", "4.30.0", folder="/srv/old"),
        hidden("logging", "logging.py", "PYTHONPATH", standard=True, folder="/srv/old"),
        hidden("peft", "peft", "user site", "0.3.0", folder="/home/user/.local/lib/python3.12/site-packages"),
    ],
    "CFG042": [
        conda("/home/user/miniconda3/envs/other", ("numpy", "1.24.0")),
        conda("/home/user/miniconda3", ("pytorch", "2.1.0")).with_variables(CONDA_DEFAULT_ENV="base"),
    ],
    "CFG043": [
        pip("/usr/bin/pip", "/usr/bin/python3"),
        pip("/usr/bin/pip", "/usr/bin/python3", machine=M.interpreter(has_pip=False)),
        pip("/usr/bin/pip", "/usr/bin/python3", "/usr/bin/python3").with_variables(
            VIRTUAL_ENV="/home/user/env"
        ),
    ],
    "CFG044": [
        M.surroundings(stray_libraries=SAME_NAME),
        M.surroundings(stray_libraries=OLD_LIBRARIES),
        CPU.surroundings(stray_libraries=OLD_LIBRARIES),
    ],
    "CFG045": [
        M.surroundings(stray_libraries=(StrayLibrary("/srv/old/libnccl.so.2", "LD_PRELOAD"),)),
        M.surroundings(stray_libraries=(StrayLibrary("/srv/gone/libfast.so", "LD_PRELOAD", False),)),
        CPU.surroundings(stray_libraries=(StrayLibrary("libcudart.so.11.0", "LD_PRELOAD"),)),
    ],
    "CFG046": [
        M.surroundings(stray_libraries=(StrayLibrary(f"{STUBS}/libcuda.so", "LD_LIBRARY_PATH"),)),
        M.surroundings(stray_libraries=(StrayLibrary(f"{STUBS}/libcuda.so.1", "LD_LIBRARY_PATH"),)),
        CPU.surroundings(stray_libraries=(StrayLibrary(f"{STUBS}/libcuda.so.1", "LD_LIBRARY_PATH"),)),
    ],
    "CFG047": [
        named("CUDA_VISIBLE_DEVICE"),
        named("PYTORCH_CUDA_ALOC_CONF"),
        named("NCCL_P2P_DISABLED"),
        named("HF_HOEM"),
        named("TOKENIZER_PARALLELISM"),
        named("HF_HUB_ENABLE_HF_TRANFSER"),
        named("BITSANDBYTES_NO_WELCOME"),
    ],
    "CFG048": [
        M.with_variables(TRANSFORMERS_CACHE="/data"),
        M.with_variables(TRANSFORMERS_CACHE="/data", HF_HOME="/data"),
        M.with_variables(WANDB_DISABLED="true"),
        M.with_variables(HF_HUB_ENABLE_HF_TRANSFER="1"),
        named("BITSANDBYTES_NOWELCOME"),
    ],
    "CFG049": [
        configured(distributed_type="MULTI_GPU", num_processes="8"),
        configured(M.without_gpu(), distributed_type="MULTI_GPU", num_processes="8"),
        configured(
            M.with_gpu(RTX_4090, 2), distributed_type="DEEPSPEED", num_processes="8", num_machines="2"
        ),
        configured(use_cpu="true"),
    ],
    "CFG050": [
        configured(M.with_gpu(GTX_1080), mixed_precision="bf16"),
        configured(M.without_gpu(), mixed_precision="fp16"),
        configured(M.with_gpu(GTX_1080), mixed_precision="fp8"),
    ],
    "CFG051": [
        M.with_variables(PYTORCH_CUDA_ALLOC_CONF="expandable_segment:True"),
        M.with_variables(PYTORCH_ALLOC_CONF="max_split_size_mb:128,garbage_colection_threshold:0.8"),
    ],
    "SYS020": [
        M.with_storage("home", path="/nonexistent/home", exists=False),
        M.with_storage("home", path="/nonexistent/home", exists=False, writable=False),
    ],
    "SYS021": [M.with_storage("tmp", path="/scratch/job-17", exists=False)],
    "SYS022": [
        M.but(taken_at="2026-03-01T10:00:00Z").surroundings(packages_changed_at="2026-11-20T08:00:00Z"),
        M.but(taken_at="1970-01-01T00:03:00Z"),
    ],
    "SYS023": [M.surroundings(processes_limit=100)],
    "SYS024": [
        M.surroundings(**HEADERS),
        M.interpreter(base_prefix="/home/user/python").surroundings(**HEADERS),
    ],
}

PASSING = {
    "CFG040": [
        M,
        hidden("helpers", "helpers.py"),  # nothing of a training run has that name
        hidden("test", "test", standard=True),  # a folder of tests hides what no run imports
        hidden("transformers", "transformers", "PYTHONPATH", folder="/srv/old"),  # CFG041's
    ],
    "CFG041": [
        M,
        hidden("transformers", "transformers", "PYTHONPATH", folder=SITE),  # with metadata: PKG004's
        hidden("datasets", "datasets.py"),  # CFG040's
    ],
    "CFG042": [
        M,
        conda("/home/user/env", ("numpy", "1.24.0")),  # the target itself
        conda("/usr", ("numpy", "1.24.0")),  # the target was made from it
        conda("/home/user/miniconda3", ("numpy", "2.4.6")),
    ],
    "CFG043": [
        pip("/home/user/env/bin/pip", "/home/user/env/bin/python3.12"),
        pip("/usr/bin/pip", "/usr/bin/python3", "/usr/bin/python3"),  # the target is named, not active
    ],
    "CFG044": [
        M,
        M.surroundings(
            stray_libraries=(StrayLibrary("/usr/local/cuda/lib64/libcudart.so.13", "LD_LIBRARY_PATH"),)
        ),
    ],
    "CFG045": [M, M.surroundings(stray_libraries=SAME_NAME)],
    "CFG046": [M, M.surroundings(stray_libraries=SAME_NAME)],
    "CFG047": [
        M,
        named(
            "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_PATH", "HF_HOME", "HF_HUB_CACHE", "NCCL_NVB_DISABLE"
        ),
        named(
            "NCCL_DEBUG_SUBSYS",
            "WANDB_NAME",
            "TORCH_HUB",
            "HF_XET_CACHE",
            "ACCELERATE_USE_XPU",
            "CUDA_VERSION",
        ),
        named(
            "TORCH_LOGS", "TRANSFORMERS_CACHE", "NCCL_VERSION", "NCCL_PXN_DISABLE", "CUDA_ROOT", "HF_DEBUG"
        ),
    ],
    "CFG048": [
        M,
        M.with_variables(HF_HOME="/data"),
        M.installed(transformers="4.46.3").with_variables(TRANSFORMERS_CACHE="/data", WANDB_DISABLED="true"),
        M.installed(huggingface_hub="0.36.2").with_variables(HF_HUB_ENABLE_HF_TRANSFER="1"),
    ],
    "CFG049": [
        configured(distributed_type="NO", num_processes="1"),
        configured(M.with_gpu(RTX_4090, 8), distributed_type="MULTI_GPU", num_processes="8"),
        configured(M.with_gpu(RTX_4090, 8), distributed_type="FSDP", num_processes="16", num_machines="2"),
        configured(M.without_gpu(), distributed_type="MULTI_CPU", num_processes="4", use_cpu="true"),
    ],
    "CFG050": [
        configured(mixed_precision="bf16"),
        configured(M.with_gpu(GTX_1080), mixed_precision="fp16"),
        configured(M.without_gpu(), mixed_precision="bf16"),
    ],
    "CFG051": [
        M,
        M.with_variables(PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True,max_split_size_mb:128"),
        M.with_variables(
            PYTORCH_CUDA_ALLOC_CONF="backend:cudaMallocAsync, roundup_power2_divisions:[256:1,512:2]"
        ),
    ],
    "SYS020": [M],
    "SYS021": [M],
    "SYS022": [
        M.but(taken_at="2026-11-24T10:00:00Z").surroundings(packages_changed_at="2026-11-24T11:00:00Z"),
        M.but(taken_at="2026-11-24T10:00:00Z"),
    ],
    "SYS023": [M, M.surroundings(processes_limit=4096)],
    "SYS024": [M.surroundings(has_python_headers=True)],
}
