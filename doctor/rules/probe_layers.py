"""Rules over the kernels below training: half precision on each GPU, and bitsandbytes' against their own weights."""

from typing import Any, Dict, List, Tuple

from envdoc.doctor.facts.snapshot import ProbeResult, Snapshot
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.probe_reading import cases, ran, version
from envdoc.doctor.rules.registry import Problem, Skip, rule

# The first compute capability with units for the type (CUDA C++ Programming Guide, arithmetic instructions).
HALF_SINCE = {"float16": (7, 0), "bfloat16": (8, 0)}

# Largest relative error (Frobenius) of a layer's results against products with its own dequantised weights. Results
# are rounded to half a unit of the last place: 2**-12 for float16, 2**-9 for bfloat16, and weights once more. Seen with
# 0.50.2 on a CPU, 2026-11-24: 3e-4 and 2.3e-3. A CPU's kernels may compute float32 in bfloat16. About eight times that.
OWN_LIMITS = {"float16": 4e-3, "bfloat16": 2e-2, "float32": 2e-2}
# LLM.int8() rounds its input as well, and implementations round halves differently. Seen: 2.5e-3 on a CPU.
OWN_LIMIT_8BIT = 1e-2
OWN = {"output_to_own": "outputs", "gradient_to_own": "gradients", "row_to_own": "outputs for one row"}

# Cosine between the paths of the paged 8-bit AdamW and torch's over five steps. Seen: 0.99995 on a CPU.
OPTIMIZER_COSINE = 0.98


@rule("TOR055")
def half_precision_fails(machine: Snapshot) -> List[Problem]:
    """A GPU that has units for a half precision cannot multiply in it, though it multiplies in float32."""
    result = ran(machine, "torch_runs")
    gpus = result.data.get("gpus", [])
    if not gpus:
        raise Skip("torch sees no GPU")
    found = []
    for gpu in gpus:
        capability = tuple(int(part) for part in gpu["capability"].split("."))
        if "error" in gpu["products"].get("float32", {}):
            continue  # TOR052 tells it
        for dtype, since in HALF_SINCE.items():
            error = gpu["products"].get(dtype, {}).get("error")
            if error and capability >= since:
                names = {
                    "torch": version(result, "torch"),
                    "dtype": dtype,
                    "index": gpu["index"],
                    "gpu": f"GPU {gpu['index']} ({gpu['name']})",
                    "error": error,
                }
                found.append(Problem(names, (error,), (f"training in {dtype}",)))
    return found


def _quantised(machine: Snapshot) -> ProbeResult:
    result = ran(machine, "bitsandbytes_runs")
    if result.data["device"] != "cuda":
        raise Skip("torch sees no GPU")
    return result


@rule("BNB054")
def layer_kind_fails(machine: Snapshot) -> List[Problem]:
    """The usual layers compute on the GPU, and another kind of 4-bit layer does not."""
    result = _quantised(machine)
    if any("error" in seen for seen in cases(result).values()):
        raise Skip("the usual layers fail too; see BNB050")
    if "variants" not in result.data:
        raise Skip("the probe did not look at other kinds")
    failed = {kind: seen["error"] for kind, seen in result.data["variants"].items() if "error" in seen}
    if not failed:
        return []
    names = {
        "bitsandbytes": version(result, "bitsandbytes"),
        "kind": next(iter(failed)),
        "kinds": ", ".join(failed),
        "gpu": result.data["gpu"],
        "error": shorten(next(iter(failed.values())), 160),
    }
    return [Problem(names, tuple(f"{kind}: {error}" for kind, error in failed.items()), ("QLoRA",))]


def _own_errors(result: ProbeResult) -> List[Tuple[str, str, Any, float]]:
    """(layer, what, error, limit) of every comparison with a layer's own weights."""
    layers: Dict[str, Dict[str, Any]] = {
        {"linear_8bit": "8-bit", "linear_4bit": "4-bit"}.get(name, name): seen
        for name, seen in {**cases(result), **result.data.get("variants", {})}.items()
    }
    found = []
    for layer, seen in layers.items():
        for key, what in OWN.items():
            if key in seen:
                limit = OWN_LIMITS.get(seen.get("dtype", ""), 2e-2)
                if layer == "8-bit" and key != "gradient_to_own":
                    limit = max(limit, OWN_LIMIT_8BIT)
                found.append((layer, what, seen[key], limit))
    return found


@rule("BNB055")
def kernel_wrong(machine: Snapshot) -> List[Problem]:
    """A layer computes something else than the product with the weights that it holds: no noise of quantising."""
    result = ran(machine, "bitsandbytes_runs")
    errors = _own_errors(result)
    if not errors:
        raise Skip("the probe did not compare the layers with their own weights")
    wrong = [
        (layer, what, error, limit) for layer, what, error, limit in errors if error is None or error > limit
    ]
    if not wrong:
        return []
    layer, what, error, limit = wrong[0]
    evidence = tuple(
        f"{layer}, {what}: {'NaN or infinity' if error is None else format(error, '.2g')} (at most {limit:g})"
        for layer, what, error, limit in wrong
    )
    names = {
        "bitsandbytes": version(result, "bitsandbytes"),
        "layer": layer if layer.endswith("bit") else "4-bit",
        "kind": layer,
        "what": what,
        "error": "NaN or infinity" if error is None else f"{error:.2g}",
        "limit": f"{limit:g}",
    }
    return [Problem(names, evidence, ("bitsandbytes",))]


@rule("BNB056")
def paged_optimizer(machine: Snapshot) -> List[Problem]:
    """QLoRA's paged 8-bit AdamW fails on the GPU, or goes another way than AdamW."""
    result = _quantised(machine)
    seen = result.data.get("optimizer")
    if seen is None or "skipped" in seen:
        raise Skip(seen["skipped"] if seen else "the probe did not look at the optimiser")
    if "error" in seen:
        wrong = f"it ends with {seen['error']}"
    elif seen["cosine"] is None or seen["cosine"] < OPTIMIZER_COSINE:
        told = "not finite" if seen["cosine"] is None else f"{seen['cosine']:.2g}"
        wrong = f"the cosine between its path and AdamW's over five steps is {told}"
    else:
        return []
    names = {"bitsandbytes": version(result, "bitsandbytes"), "gpu": result.data["gpu"]}
    return [Problem({**names, "wrong": wrong}, (wrong,), ("QLoRA",))]
