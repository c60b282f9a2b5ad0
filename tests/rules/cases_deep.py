"""For each rule about measured GPUs and what only `check --deep` runs: machines that fail it and machines that pass.

The results are constructed after what the probes print; tests/probes holds those that were recorded on real machines.
"""

from dataclasses import replace

from rule_machines import H100, RTX_4090, machine

from envdoc.doctor.facts.snapshot import ProbeResult

VERSIONS = {"torch": "2.11.0", "transformers": "5.23.0", "peft": "0.21.2", "bitsandbytes": "0.50.2"}
LOAD = {
    "sm_clock_mhz": 1755,
    "sm_clock_max_mhz": 1980,
    "power_limit_milliwatts": 700000,
    "power_default_milliwatts": 700000,
    "temperature_celsius": 54,
    "pcie_generation": 5,
    "pcie_generation_max": 5,
    "pcie_width": 16,
    "pcie_width_max": 16,
    "slowed_by": ["power cap"],  # usual under load, and no finding at a good rate
}


def with_probe(name, **data):
    """The healthy machine with the result of one more probe."""
    return machine().but(probes=(ProbeResult(name, "ran", {"versions": VERSIONS, **data}),))


def gpu_rates(
    name="NVIDIA H100 80GB HBM3",
    copies=2.9e12,
    half=720e12,
    fp32=50e12,
    busy=0,
    to_device=52e9,
    load=LOAD,
    link=LOAD,
    limited=False,
    copied=1 << 30,
    mps="",
    **more,
):
    """What gpu_rates tells of one GPU; `load` is NVML's word during the products, `link` during the host's copies."""

    def product(rate):
        return {"size": 8192, "limited_by_memory": limited, "flops_per_second": rate, "under_load": load}

    return {
        "mps_share": mps,
        "gpus": [
            {
                "index": 0,
                "name": name,
                "multiprocessors": 132,
                "utilization_before_percent": busy,
                "copy": {
                    "bytes": copied,
                    "device_bytes_per_second": copies,
                    "to_device_bytes_per_second": to_device,
                    "under_load": link,
                },
                "multiply": {
                    "float32": product(fp32),
                    "tf32": {"error": "RuntimeError: out of memory"}
                    if more.get("broken")
                    else product(380e12),
                    "bfloat16": product(half),
                    "float16": product(half),
                },
                **more,
            }
        ],
    }


def rates(**values):
    return with_probe("gpu_rates", **gpu_rates(**values))


HOT = {**LOAD, "slowed_by": ["hardware thermal slowdown"], "sm_clock_mhz": 600, "temperature_celsius": 91}
SILENT = {**LOAD, "slowed_by": []}
CAPPED = {**SILENT, "power_limit_milliwatts": 300000}
ONE_LANE = {**LOAD, "pcie_generation": 1, "pcie_width": 1}
FOUR_LANES = {**LOAD, "pcie_width": 4}
EIGHT_LANES = {**LOAD, "pcie_width": 8}


def multiprocessors(count, name="NVIDIA H100 80GB HBM3", mps=""):
    """The same machine, where gpu_rates saw that many multiprocessors."""
    return rates(multiprocessors=count, name=name, mps=mps)


PATTERNS = ("address", "inverse address", "alternating bits", "inverse alternating bits", "random")


def memory(wrong=0, first=None, **more):
    """What gpu_memory tells: that many words that differ in the last pattern."""
    patterns = {name: {"wrong_words": 0, "first": None} for name in PATTERNS}
    patterns["random"] = {"wrong_words": wrong, "first": first}
    gpu = {"index": 0, "name": "NVIDIA H100 80GB HBM3", "bytes": 4 << 30, "patterns": patterns}
    return with_probe("gpu_memory", gpus=[{**gpu, "ecc_before": {}, "ecc_after": {}, **more}])


HUNG = {"variables": [], "seconds": 60.1, "error": "not done after 60 s while adding", "warnings": []}
WRONG = {"variables": [], "wrong_values": 900, "bus_bytes_per_second": 10**10, "warnings": []}
WORKS = {"variables": [], "wrong_values": 0, "bus_bytes_per_second": 330 * 10**9, "warnings": []}


def nccl(*attempts):
    return with_probe("nccl_all_reduce", gpus=4, bytes=256 << 20, attempts=list(attempts))


def without(variable, attempt):
    return {**attempt, "variables": [variable]}


ALL_HUNG = (
    HUNG,
    without("NCCL_P2P_DISABLE", HUNG),
    without("NCCL_SHM_DISABLE", HUNG),
    {**HUNG, "variables": ["NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE"]},
)


def loader(shm=64 << 20, **loads):
    """What loader_workers tells: what became of small and of large batches."""
    seen = {
        "small": {"bytes": 1 << 18, "batches": 8, "seconds": 0.6},
        "large": {"bytes": 16 << 20, "batches": 8, "seconds": 0.9},
    }
    for name, changes in loads.items():
        seen[name] = {**seen[name], **changes}
    return with_probe("loader_workers", workers=2, expected=8, shm={"total_bytes": shm}, loads=seen)


TIMED_OUT = {
    "batches": 2,
    "error": "RuntimeError: DataLoader timed out after 20 seconds",
    "worker": "RuntimeError: unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left (28)",
}
BUS_ERROR = {"batches": 0, "error": "RuntimeError: DataLoader worker (pid 9) is killed by signal: Bus error"}
CHECKPOINTING = {"tensors": 8, "without_gradient": 0, "relative_error": 0.0}
FOUR_BIT = {
    "quantised_layers": 14,
    "losses": [4.9, 4.7],
    "without_gradient": 0,
    "moved": 0.2,
    "reload_error": 0.0,
}


def variants(checkpointing=CHECKPOINTING, four_bit=FOUR_BIT):
    return with_probe("lora_variants", cases={"checkpointing": checkpointing, "four_bit": four_bit})


GOOD = {"relative_error": 1e-4}
NO_CUBLAS = {"error": "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`"}


def products(capability="9.0", **changed):
    """What torch_runs tells of one GPU."""
    told = {"float32": GOOD, "float16": GOOD, "bfloat16": GOOD, **changed}
    gpu = {"index": 0, "name": "NVIDIA H100 80GB HBM3", "capability": capability, "products": told}
    return with_probe("torch_runs", gpus=[gpu])


OWN = {"dtype": "float16", "output_to_own": 3e-4, "gradient_to_own": 3e-4, "row_to_own": 3e-4}


def quantised(device="cuda", optimizer=None, eight_bit=None, four_bit=None, **kinds):
    """What bitsandbytes_runs tells; a kind is a 4-bit layer beside the usual one."""
    return with_probe(
        "bitsandbytes_runs",
        device=device,
        gpu="NVIDIA H100 80GB HBM3" if device == "cuda" else "",
        cases={
            "linear_8bit": {**OWN, **(eight_bit or {})},
            "linear_4bit": {**OWN, **(four_bit or {})},
        },
        variants={"nf4 bfloat16 double": {**OWN, "dtype": "bfloat16", "output_to_own": 2.3e-3}, **kinds},
        optimizer=optimizer or {"cosine": 0.9999, "length_ratio": 1.0},
    )


NO_KERNEL = {"error": "RuntimeError: no kernel image is available for execution on the device"}

FAILING = {
    "GPU050": [
        rates(half=210e12, load=HOT),
        rates(copies=1.2e12, load=CAPPED),
        rates(half=210e12, load=LOAD),
    ],
    "GPU051": [rates(half=300e12, busy=98), rates(copies=1e12, busy=40, load=HOT)],
    "GPU052": [
        rates(half=210e12, load=SILENT),
        rates(copies=0.4e12, load={}),
        rates(name="NVIDIA A100-SXM4-80GB", half=70e12, fp32=14e12, copies=0.7e12, load=SILENT),
    ],
    "GPU053": [
        machine().with_gpu(replace(H100, capability="8.0")),
        machine().with_gpu(replace(RTX_4090, capability="6.1")),
        multiprocessors(60),
    ],
    "GPU054": [
        machine().with_gpu(replace(H100, memory_bytes=20 << 30)),
        machine().with_gpu(replace(RTX_4090, memory_bytes=8 << 30)),
    ],
    "GPU055": [
        rates(link=ONE_LANE, to_device=0.2e9),
        rates(link=FOUR_LANES, to_device=13e9),
        rates(link={**LOAD, "pcie_generation": 1}, to_device=3.2e9),
    ],
    "GPU056": [rates(to_device=9e9)],
    "GPU057": [
        memory(3, {"word": 12582919, "bits": "00100000"}),
        memory(
            1,
            {"word": 7, "bits": "80000000"},
            ecc_before={"ecc_corrected": 1},
            ecc_after={"ecc_corrected": 9},
        ),
        memory(0, patterns={}, error="RuntimeError: CUDA error: uncorrectable ECC error encountered"),
    ],
    "GPU058": [
        nccl(*ALL_HUNG),
        nccl(*({**WRONG, "variables": one["variables"]} for one in ALL_HUNG)),
    ],
    "GPU059": [
        nccl(HUNG, without("NCCL_P2P_DISABLE", WORKS)),
        nccl(WRONG, without("NCCL_P2P_DISABLE", HUNG), without("NCCL_SHM_DISABLE", WORKS)),
    ],
    "GPU060": [
        machine().but(
            probes=(ProbeResult("gpu_rates", "timeout", error="not done after 240 s while copying"),)
        ),
        rates(broken=True),
    ],
    "SYS070": [loader(1 << 20, small=TIMED_OUT, large=TIMED_OUT), loader(0, small=BUS_ERROR)],
    "SYS071": [loader(large=TIMED_OUT), loader(large=BUS_ERROR)],
    "TOR055": [products(bfloat16=NO_CUBLAS), products("7.5", float16=NO_CUBLAS)],
    "TOR056": [
        variants({**CHECKPOINTING, "without_gradient": 8}),
        variants({**CHECKPOINTING, "relative_error": 0.4}),
        variants({**CHECKPOINTING, "relative_error": None}),
        variants({"error": "RuntimeError: element 0 of tensors does not require grad"}),
    ],
    "BNB054": [quantised(**{"fp4 bfloat16": NO_KERNEL})],
    "BNB055": [
        quantised(four_bit={"output_to_own": 0.09}),
        quantised(eight_bit={"gradient_to_own": None}),
        quantised("cpu", **{"fp4 float16 double": {**OWN, "row_to_own": 0.3}}),
    ],
    "BNB056": [
        quantised(optimizer={"error": "RuntimeError: CUDA error: operation not supported"}),
        quantised(optimizer={"cosine": 0.1, "length_ratio": 1.0}),
        quantised(optimizer={"cosine": None, "length_ratio": None}),
    ],
    "BNB057": [
        variants(four_bit={"error": "ImportError: Using `bitsandbytes` 4-bit quantization requires more"}),
        variants(four_bit={**FOUR_BIT, "without_gradient": 8, "losses": [4.9, None]}),
        variants(four_bit={**FOUR_BIT, "moved": 0.0}),
        variants(four_bit={**FOUR_BIT, "reload_error": 0.3}),
    ],
}

# A Tesla T4 at its 70 W, as data centres run it: a third of its peak is healthy.
T4 = rates(name="Tesla T4", half=22e12, fp32=4.0e12, copies=0.24e12, to_device=12e9, multiprocessors=40)

PASSING = {
    "GPU050": [
        rates(),
        T4,
        rates(half=300e12, busy=98),
        rates(half=210e12, limited=True),
        rates(copied=1 << 20),
    ],
    "GPU051": [rates(), rates(busy=30), T4],
    "GPU052": [rates(), rates(load={}), T4],
    "GPU053": [
        machine(),
        multiprocessors(132),
        multiprocessors(60, mps="50"),
        machine().with_gpu(RTX_4090),
        machine().with_gpu(replace(H100, name="NVIDIA H100 80GB HBM3", capability="")),
    ],
    "GPU054": [
        machine(),
        machine().with_gpu(replace(RTX_4090, memory_bytes=49140 << 20)),  # rebuilt with twice the memory
        machine().with_gpu(replace(H100, name="NVIDIA A10", memory_bytes=23028 << 20)),  # less its ECC
        machine().with_gpu(replace(H100, name="Tesla T4", memory_bytes=15360 << 20)),
    ],
    "GPU055": [
        rates(),
        rates(link=EIGHT_LANES, to_device=26e9),
        rates(link=ONE_LANE, to_device=24e9),  # a virtual machine that reports another link
    ],
    "GPU056": [rates(), rates(link=EIGHT_LANES, to_device=26e9), rates(link=ONE_LANE, to_device=0.2e9)],
    "GPU057": [memory()],
    "GPU058": [nccl(WORKS), nccl(HUNG, without("NCCL_P2P_DISABLE", WORKS))],
    "GPU059": [nccl(WORKS)],
    "GPU060": [rates(), memory(), variants()],
    "SYS070": [loader(), loader(large=TIMED_OUT)],
    "SYS071": [loader()],
    "TOR055": [
        products(),
        products("7.5", bfloat16=NO_CUBLAS),
        products(float32=NO_CUBLAS, bfloat16=NO_CUBLAS),
    ],
    "TOR056": [variants(), variants(four_bit={"skipped": "torch sees no GPU"})],
    "BNB054": [quantised(), quantised(**{"fp4 bfloat16": {"skipped": "this GPU has no bfloat16 units"}})],
    "BNB055": [quantised(), quantised("cpu"), quantised(eight_bit={"row_to_own": 2.5e-3})],
    "BNB056": [quantised()],
    "BNB057": [variants()],
}
