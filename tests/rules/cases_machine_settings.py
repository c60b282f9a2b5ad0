"""Machines on which each rule about settings (variables, accelerate's file, compilers) must fail, and must pass."""

from cases_machine import LIBRARIES, NO_GPU, M, V, named
from rule_machines import GTX_1080, H100, RTX_4090

from envdoc.doctor.facts.snapshot import (
    NamedPath,
    NamedThings,
)
from envdoc.doctor.facts.surroundings import AccelerateConfig


def shaped(shape):
    """The machine with a token of that shape."""
    return M.but(named=NamedThings((), (("HF_TOKEN", shape),))).with_variables(HF_TOKEN="<set>")


def configured(values, base=M, **fields):
    """The machine with that configuration of accelerate."""
    keys = fields.pop("keys", ("distributed_type", *values))
    return base.surroundings(
        accelerate=AccelerateConfig("/home/user/default_config.yaml", values, keys, **fields)
    )


def compiling(**fields):
    """The machine with deepspeed, and that toolkit."""
    return M.installed(deepspeed="0.18.2").toolkit(**fields)


FAILING = {
    "CFG080": [
        M.with_gpu(H100, 2).with_variables(NCCL_SOCKET_IFNAME="ib0"),
        V(GLOO_SOCKET_IFNAME="eth"),
    ],
    "CFG081": [
        V(HF_HUB_DOWNLOAD_TIMEOUT="10s"),
        V(HF_HUB_ETAG_TIMEOUT=""),
        V(LOCAL_RANK="zero"),
        V(ACCELERATE_GRADIENT_ACCUMULATION_STEPS="auto"),
    ],
    "CFG082": [
        V(OMP_NUM_THREADS="0"),
        V(OMP_NUM_THREADS="auto"),
        V(OMP_NUM_THREADS="512"),
        V(MKL_NUM_THREADS="-4"),
    ],
    "CFG083": [
        V(HF_ENDPOINT="mirror.example"),
        V(HF_ENDPOINT='"https://mirror.example"'),
        V(HF_ENDPOINT="https://mirror.example "),
        V(HF_ENDPOINT="https:///"),
    ],
    "CFG084": [shaped(s) for s in ("quoted", "bearer", "placeholder", "whitespace", "not ASCII", "path")],
    "CFG085": [
        named(NamedPath("REQUESTS_CA_BUNDLE", "missing", "/etc/ssl/certs/company-root-certificates.pem")),
        named(NamedPath("SSL_CERT_FILE", "not a file", "/etc/ssl")),
        named(NamedPath("PIP_CONSTRAINT", "missing", "/etc/pip/constraint.txt")),
        named(NamedPath("NCCL_TOPO_FILE", "missing", "/opt/topo.xml")),
    ],
    "CFG086": [
        named(NamedPath("HF_HOME", "closed", "/data/hf")),
        named(
            NamedPath("TORCHINDUCTOR_CACHE_DIR", "not a folder", "/data/a-name-that-is-longer-than-a-title")
        ),
    ],
    "CFG087": [
        V(HF_HOME='"/data/hf"'),
        V(HF_HUB_OFFLINE="'1'"),
        V(HF_HOME="$HOME/hf"),
        V(TORCHINDUCTOR_CACHE_DIR="$SCRATCH/a/folder/with/a/long/name"),
    ],
    "CFG088": [
        V(PIP_USER="1"),
        V(PIP_TARGET="/opt/a/folder/with/a/long/name"),
        V(PIP_PREFIX="/opt"),
        V(PIP_NO_DEPS="yes"),
        V(PIP_NO_BINARY=":all:"),
    ],
    "CFG089": [
        V(ALL_PROXY="socks5://proxy:1080"),
        V(https_proxy="socks5h://proxy:1080").installed(huggingface_hub="0.36.2"),
    ],
    "CFG090": [
        configured({}, problem="it is empty", keys=()),
        configured({}, problem="line 3 is a mark of a merge conflict"),
        configured(
            {}, keys=("distributed_type", "a_key_of_a_later_release"), known_keys=("distributed_type",)
        ),
        configured({"num_processes": "1"}, keys=("num_processes",)),
    ],
    "CFG091": [
        configured({"gpu_ids": "0,3"}),
        configured({"num_machines": "2"}),
        configured({"num_machines": "2", "main_process_ip": "null"}),
        configured({}, missing_files=("deepspeed_config_file: /gone/a/long/way/down/zero3.json",)),
    ],
    "CFG092": [
        V(ACCELERATE_MIXED_PRECISION="fp32"),
        M.with_gpu(GTX_1080).with_variables(ACCELERATE_MIXED_PRECISION="bf16"),
        V(ACCELERATE_USE_CPU="true"),
        V(ACCELERATE_USE_DEEPSPEED="true"),
        M.installed(deepspeed="0.18.2").with_variables(ACCELERATE_USE_DEEPSPEED="true"),
        V(ACCELERATE_USE_FSDP="True"),
    ],
    "CFG094": [
        V(PYTHONOPTIMIZE="1"),
        V(PYTHONOPTIMIZE="2"),
        V(PYTHONOPTIMIZE="2").installed(transformers="4.46.3"),
    ],
    "CFG095": [
        V(CUDA_FORCE_PTX_JIT="1"),
        V(PYTORCH_NO_CUDA_MEMORY_CACHING="1"),
        V(TRITON_INTERPRET="1"),
        V(TORCHDYNAMO_DISABLE="1"),
        V(CUDA_FORCE_PTX_JIT="1").torch(architectures=("sm_80", "compute_80")),
    ],
    "CFG096": [
        V(PYTORCH_CUDA_ALLOC_CONF="expandable_segments:true"),
        V(PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb=128"),
        V(PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb:8"),
        V(PYTORCH_ALLOC_CONF="garbage_collection_threshold:80"),
        V(PYTORCH_CUDA_ALLOC_CONF="backend:cudamallocasync"),
    ],
    "CFG098": [V(WANDB_MODE="disable").installed(wandb="0.22.0")],
    "CFG099": [V(HIP_VISIBLE_DEVICES="0")],
    "CFG105": [
        V(TORCH_LOGS="help"),
        V(TORCH_LOGS="'dynamo'"),
        V(TORCH_LOGS="+dynmo,graph_breaks"),
        V(TORCH_LOGS="dynamo graph"),
    ],
    "CFG106": [M.with_gpu(H100, 8).with_variables(NCCL_P2P_DISABLE="1")],
    "CFG100": [compiling(version="12.4", host_compiler_version="14.2.0")],
    "CFG101": [
        compiling(version="11.7"),
        compiling(version="13.0").with_gpu(GTX_1080),
    ],
    "CFG102": [
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="7.5;8.0;8.6"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="sm_90"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="8.0,9.0"),
    ],
    "CFG103": [compiling(home_has_nvcc=False)],
    "CFG104": [
        M.driver_files(in_loader_cache=False),
        M.driver_files(has_ldconfig=False),
    ],
}
PASSING = {
    "CFG080": [
        M,
        V(NCCL_SOCKET_IFNAME="eth"),
        V(NCCL_SOCKET_IFNAME="^docker0,lo"),
        V(NCCL_SOCKET_IFNAME="=eth0", GLOO_SOCKET_IFNAME="eth0"),
        V(NCCL_SOCKET_IFNAME="ib,eth"),
    ],
    "CFG081": [M, V(HF_HUB_DOWNLOAD_TIMEOUT="30", LOCAL_RANK="-1")],
    "CFG082": [M, V(OMP_NUM_THREADS="8,4"), V(OMP_NUM_THREADS="1"), V(OMP_NUM_THREADS="52")],
    "CFG083": [M, V(HF_ENDPOINT="https://mirror.example/hub/"), V(HF_ENDPOINT="http://mirror:8080")],
    "CFG084": [M],
    "CFG085": [M],
    "CFG086": [
        M,
        named(NamedPath("HF_HOME", "closed", "/home/user/.cache/huggingface")).with_storage(
            "cache", writable=False
        ),  # SYS002's
    ],
    "CFG087": [M, V(PIP_EXTRA_INDEX_URL='"x"', LD_LIBRARY_PATH="$LD_LIBRARY_PATH:/opt/lib")],
    "CFG088": [
        M,
        V(PIP_USER="1").interpreter(is_virtual_environment=False),
        V(PIP_NO_BINARY="flash-attn", PIP_NO_DEPS="0", PIP_USER="0"),
    ],
    "CFG089": [
        M,
        V(ALL_PROXY="socks5://proxy:1080").installed(socksio="1.0.0"),
        V(HTTPS_PROXY="http://proxy:3128", ALL_PROXY="socks5://proxy:1080"),
    ],
    "CFG090": [
        configured({}, known_keys=("distributed_type", "fp8_config")),
        configured({}, keys=("distributed_type", "fp16"), known_keys=("distributed_type",)),
        configured({}, keys=("distributed_type", "new")),  # the installed release's keys are not known
    ],
    "CFG091": [
        configured({"gpu_ids": "all"}),
        configured({"gpu_ids": "0", "num_machines": "1"}),
        configured({"num_machines": "2", "main_process_ip": "10.0.0.1"}),
        configured({"num_machines": "2", "rdzv_backend": "c10d"}),
        configured({"gpu_ids": "0,1"}, NO_GPU),
    ],
    "CFG092": [
        M,
        V(ACCELERATE_MIXED_PRECISION="bf16"),
        V(ACCELERATE_USE_FSDP="false"),
        NO_GPU.with_variables(ACCELERATE_USE_CPU="true"),
    ],
    "CFG094": [M, V(PYTHONOPTIMIZE="")],
    "CFG095": [M, V(CUDA_FORCE_PTX_JIT="0", TRITON_INTERPRET="")],
    "CFG096": [
        M,
        V(
            PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True,garbage_collection_threshold:0.8,max_split_size_mb:512"
        ),
        V(PYTORCH_CUDA_ALLOC_CONF="roundup_power2_divisions:[256:1,512:2,>:8], backend:native"),
        V(PYTORCH_CUDA_ALLOC_CONF="an_option_of_tomorrow:1"),
    ],
    "CFG098": [M.installed(wandb="0.22.0"), V(WANDB_MODE="Offline").installed(wandb="0.22.0")],
    "CFG099": [M, V(HIP_VISIBLE_DEVICES="0", CUDA_VISIBLE_DEVICES="0")],
    "CFG105": [
        M,
        V(TORCH_LOGS="+dynamo,-inductor, graph_breaks"),
        V(TORCH_LOGS="torch._functorch,+my.own.module,transformers"),
        V(TORCH_LOGS="a_log_of_tomorrow").torch(version="2.15.0+cu130"),
    ],
    "CFG106": [
        M.with_gpu(H100, 8).with_variables(NCCL_P2P_DISABLE="0"),
        M.with_gpu(RTX_4090, 2).with_variables(NCCL_P2P_DISABLE="1", NCCL_IB_DISABLE="1"),
    ],
    "CFG100": [compiling(version="12.4", host_compiler_version="13.3.0")],
    "CFG101": [compiling(version="12.4"), compiling(version="12.4").with_gpu(GTX_1080)],
    "CFG102": [
        compiling(),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="7.5 8.0 8.6 9.0 10.0 12.0+PTX"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="8.0+PTX"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="9.0a"),
        compiling().with_variables(TORCH_CUDA_ARCH_LIST="Hopper"),
    ],
    "CFG103": [compiling(home_has_nvcc=True)],
    "CFG104": [
        M,
        M.driver_files(in_loader_cache=False).with_variables(TRITON_LIBCUDA_PATH=LIBRARIES),
        M.driver_files(in_loader_cache=False).with_variables(LD_LIBRARY_PATH=f"/opt/lib:{LIBRARIES}"),
    ],
}
