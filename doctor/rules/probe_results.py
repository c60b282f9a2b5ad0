"""Rules over what ran in the target: torch, the imports, bitsandbytes' layers and a training run of two steps.

They judge what a probe saw. A probe that ended badly is a finding too, once: by the rule on what it was to show, or,
where a library that it needs cannot be imported, by TRF050 on that library.
"""

import math
from typing import Any, Dict, Iterator, List, Optional, Tuple

from envdoc.doctor.facts.snapshot import ProbeResult, Snapshot
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.probe_reading import ENDED_BADLY, NEEDS, bad_end, cases, import_errors, ran, version
from envdoc.doctor.rules.registry import Problem, Skip, rule

# Largest relative error of a product of 128 x 128 that is no fault. Seen on CPUs with torch 2.0.1 and 2.13.0 and on
# an H200 with 2.11.0, 2026-11-24: 3.8e-7, 2.8e-3 and 3.5e-4. float32 has room for TF32, which rounds to 2**-11. The
# others go by their formats: float64 rounds to 2**-53, sums of int8 are exact (float64 holds them), the result of
# float8 is bfloat16, and Hopper's sums of it keep about 13 bits.
PRODUCT_LIMITS = {
    "float64": 1e-10,
    "float32": 5e-3,
    "tf32": 5e-3,
    "bfloat16": 2e-2,
    "float16": 1e-2,
    "float8_e4m3fn": 3e-2,
    "int8": 0.0,
}

# The same for bitsandbytes' layers of 256 x 256. Seen with 0.50.2 on 2026-11-24: 0.004 and 0.092 on a CPU, 0.008 and
# 0.095 on an H200.
QUANTISED_LIMITS = {"linear_8bit": 0.03, "linear_4bit": 0.2}
LAYERS = {"linear_8bit": "8-bit", "linear_4bit": "4-bit"}

NEED_TORCH = ("accelerate", "transformers", "peft", "bitsandbytes")


@rule("TOR050")
def torch_does_not_run(machine: Snapshot) -> List[Problem]:
    """torch does not import or does not end its first products."""
    result = machine.probe("torch_runs")
    if result is None or result.status not in ENDED_BADLY:
        ran(machine, "torch_runs")
        return []
    name = f"torch {shorten(machine.torch.version, 20)}" if machine.torch else "torch"
    return [Problem({"torch": name, "error": result.error}, (result.error,), ("torch", "training"))]


def _products(machine: Snapshot) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    """(where, type, what was seen) of every product, the CPU's first."""
    data = ran(machine, "torch_runs").data
    yield from (("the CPU", dtype, seen) for dtype, seen in data.get("cpu", {}).items())
    for gpu in data.get("gpus", []):
        where = f"GPU {gpu['index']} ({shorten(gpu['name'], 28)})"
        yield from ((where, dtype, seen) for dtype, seen in gpu["products"].items())


def _exceeds(error: Optional[float], limit: float) -> bool:
    """True for an error beyond the limit; None is one that was not finite."""
    return error is None or error > limit


def _shown(error: Optional[float]) -> str:
    return "NaN or infinity" if error is None else f"{error:.2g}"


@rule("TOR051")
def product_wrong(machine: Snapshot) -> List[Problem]:
    """A matrix product differs from the same product in float64."""
    return [
        Problem(
            {
                "where": where,
                "dtype": dtype,
                "error": _shown(seen["relative_error"]),
                "limit": PRODUCT_LIMITS[dtype],
            },
            (f"{dtype} on {where}: relative error {_shown(seen['relative_error'])}",),
            (where,),
        )
        for where, dtype, seen in _products(machine)
        if "relative_error" in seen and _exceeds(seen["relative_error"], PRODUCT_LIMITS.get(dtype, math.inf))
    ]


@rule("TOR052")
def product_fails(machine: Snapshot) -> List[Problem]:
    """A device cannot multiply in float32. (The half types may be missing: the CPU of torch 2.0 has no float16.)"""
    torch = version(ran(machine, "torch_runs"), "torch")
    return [
        Problem({"torch": torch, "where": where, "error": seen["error"]}, (seen["error"],), (where,))
        for where, dtype, seen in _products(machine)
        if dtype == "float32" and "error" in seen
    ]


@rule("TOR053")
def numpy_bridge(machine: Snapshot) -> List[Problem]:
    """torch.ones(1).numpy() fails though numpy is installed."""
    result = ran(machine, "torch_runs")
    if result.data["versions"].get("numpy") is None:
        raise Skip("numpy is not installed")
    error = result.data["numpy_bridge"].get("error")
    names = {"torch": version(result, "torch"), "numpy": version(result, "numpy"), "error": error}
    return [Problem(names, (error,), ("torch", "numpy"))] if error else []


@rule("TOR054")
def gpu_unseen(machine: Snapshot) -> List[Problem]:
    """The driver lists a GPU and torch is built for CUDA, but torch sees none."""
    result = ran(machine, "torch_runs")
    if not machine.gpus:
        raise Skip("the driver lists no GPU")
    if result.data.get("cuda") is None:
        raise Skip("torch is built without CUDA")
    if result.data.get("cuda_available"):
        return []
    error = result.data.get("cuda_error") or "torch gives no reason"
    names = {"torch": version(result, "torch"), "count": len(machine.gpus), "error": error}
    return [Problem(names, (error,), ("torch", "training"))]


@rule("TRF050")
def import_fails(machine: Snapshot) -> List[Problem]:
    """A training library that is installed cannot be imported, and not only because torch cannot."""
    modules = ran(machine, "library_imports").data["modules"]
    torch = machine.probe("torch_runs")
    told = NEED_TORCH if torch is not None and torch.status in ENDED_BADLY else ()  # TOR050 is the one cause
    return [
        Problem(
            {"library": f"{module} {shorten(str(modules[module].get('version')), 20)}", "error": error},
            (error,),
            (module,),
        )
        for module, error in import_errors(machine).items()
        if module not in told
    ]


@rule("TRF051")
def torch_disabled(machine: Snapshot) -> List[Problem]:
    """transformers imports and says that there is no torch, though torch runs."""
    torch = ran(machine, "torch_runs")
    seen = ran(machine, "library_imports").data["modules"].get("transformers", {})
    if "torch_available" not in seen:
        raise Skip("transformers was not imported")
    if seen["torch_available"]:
        return []
    names = {"transformers": f"transformers {seen.get('version')}", "torch": version(torch, "torch")}
    return [Problem(names, ("transformers.is_torch_available() is False",), ("transformers",))]


@rule("TRF052")
def training_fails(machine: Snapshot) -> List[Problem]:
    """A LoRA fine-tune of two steps ends with an error."""
    result = machine.probe("lora_two_steps")
    if result is not None and result.status == "ran":
        return []
    error = bad_end(machine, "lora_two_steps").error
    return [Problem({"error": error}, (error,), ("training",))]


@rule("TRF053")
def training_wrong(machine: Snapshot) -> List[Problem]:
    """A LoRA fine-tune of two steps ends well and has learnt nothing, or what it learnt is lost."""
    result = ran(machine, "lora_two_steps")
    data, wrong = result.data, []
    if not data["losses"] or None in data["losses"] or 0 in data["losses"]:
        wrong.append(f"the losses were {data['losses']}, where finite and positive numbers are expected")
    if data["trained_is_base"]:
        wrong.append("the trained model answers as its base does")
    elif not data["reload_is_trained"]:
        wrong.append("the adapter that was loaded again does not answer as the trained one did")
    if data.get("without_gradient"):
        wrong.append(f"no gradient reaches {data['without_gradient'][0]}")
    if data.get("frozen_changed"):
        wrong.append(f"training changed the frozen {data['frozen_changed'][0]}")
    if "saved_tensors" in data and data["saved_tensors"] != 2 * data["targets"]:
        wrong.append(f"the adapter file holds {data['saved_tensors']} tensors of {2 * data['targets']}")
    names = {"transformers": version(result, "transformers"), "peft": version(result, "peft")}
    return [Problem(dict(names, wrong="; ".join(wrong)), tuple(wrong), ("training",))] if wrong else []


@rule("TRF054")
def probe_ended_badly(machine: Snapshot) -> List[Problem]:
    """A probe whose bad end no other rule tells."""
    found = []
    for name in ("library_imports", "llama_tokenizer", "adapter_save", "fan_in_fan_out"):
        try:
            result = bad_end(machine, name)
        except Skip:
            continue
        found.append(Problem({"probe": name, "error": result.error}, (result.error,), NEEDS[name]))
    if not found and not machine.probes:
        raise Skip("no probe was run")
    return found


@rule("BNB050")
def quantised_layers_fail(machine: Snapshot) -> List[Problem]:
    """bitsandbytes' layers do not compute on the GPU, or its process ends badly wherever it runs."""
    result = machine.probe("bitsandbytes_runs")
    if result is not None and result.status in ENDED_BADLY:
        error = bad_end(machine, "bitsandbytes_runs").error
        package = machine.package("bitsandbytes")
        name = f"bitsandbytes {package.version}" if package else "bitsandbytes"
        return [Problem({"bitsandbytes": name, "layers": "its layers", "error": error}, (error,))]
    result = ran(machine, "bitsandbytes_runs")
    if result.data["device"] != "cuda":
        raise Skip("torch sees no GPU; see BNB053")
    return _failed_layers(result, " on " + shorten(result.data["gpu"], 24))


@rule("BNB053")
def quantised_layers_need_gpu(machine: Snapshot) -> List[Problem]:
    """Without a GPU bitsandbytes' layers do not compute, as in every release up to 0.45."""
    result = ran(machine, "bitsandbytes_runs")
    if result.data["device"] != "cpu":
        raise Skip("torch sees a GPU; see BNB050")
    return _failed_layers(result, "")


def _failed_layers(result: ProbeResult, where: str) -> List[Problem]:
    failed = {LAYERS[name]: str(seen["error"]) for name, seen in cases(result).items() if "error" in seen}
    if not failed:
        return []
    names = {
        "bitsandbytes": version(result, "bitsandbytes"),
        "layers": f"{' and '.join(failed)} layers{where}",
        "error": shorten("; ".join(failed.values()), 120),
    }
    return [Problem(names, tuple(f"{layer}: {error}" for layer, error in failed.items()), ("bitsandbytes",))]


@rule("BNB051")
def quantised_layers_wrong(machine: Snapshot) -> List[Problem]:
    """bitsandbytes' layers compute something else than the dense layer, beyond what quantising costs."""
    result = ran(machine, "bitsandbytes_runs")
    found = []
    for name, seen in cases(result).items():
        for what in ("output_error", "gradient_error"):
            if what in seen and _exceeds(seen[what], QUANTISED_LIMITS[name]):
                names = {
                    "bitsandbytes": version(result, "bitsandbytes"),
                    "layer": LAYERS[name],
                    "what": "outputs" if what == "output_error" else "gradients",
                    "error": _shown(seen[what]),
                    "limit": QUANTISED_LIMITS[name],
                }
                found.append(Problem(names, (f"{name} {what}: {_shown(seen[what])}",), ("bitsandbytes",)))
    return found


@rule("BNB052")
def cpu_library_loaded(machine: Snapshot) -> List[Problem]:
    """torch sees a GPU, and bitsandbytes loaded its CPU library or none."""
    result = ran(machine, "bitsandbytes_runs")
    if result.data["device"] != "cuda":
        raise Skip("torch sees no GPU")
    libraries = result.data["libraries"]
    if any("_cpu" not in library for library in libraries):
        return []
    names = {
        "bitsandbytes": version(result, "bitsandbytes"),
        "loaded": ", ".join(libraries) or "no library",
        "gpu": shorten(result.data["gpu"], 28),
        "cuda": result.data["torch_cuda"],
    }
    return [Problem(names, tuple(libraries), ("bitsandbytes",))]
