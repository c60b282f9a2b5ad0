"""Rules over what only `check --deep` runs: the memory test, NCCL, DataLoader workers, LoRA's variants."""

from typing import Any, Dict, List, Tuple, Union

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.rules.machine import gigabytes, shorten
from envdoc.doctor.rules.probe_reading import ENDED_BADLY, case, ran, version
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule

# Checkpointing computes the same numbers again; on a GPU sums may be taken in another order. Seen: 0 on a CPU with
# torch 2.13.0, 2026-11-24. Our judgement.
CHECKPOINTING_LIMIT = 1e-2
# The reloaded adapter over the same 4-bit base, in half precision. Our judgement.
RELOAD_LIMIT = 2e-2
DEEP = ("gpu_rates", "gpu_memory", "nccl_all_reduce", "loader_workers", "lora_variants")


def _wrong(gpu: Dict[str, Any]) -> Tuple[int, str]:
    """(wrong words, the first pattern that shows them) of one GPU's memory test."""
    counts = {name: seen["wrong_words"] for name, seen in gpu.get("patterns", {}).items()}
    return sum(counts.values()), next((name for name, count in counts.items() if count), "")


def _counters(gpu: Dict[str, Any]) -> str:
    """What error correction counted, in words; that it does not, where it tells nothing."""
    before, after = gpu.get("ecc_before", {}), gpu.get("ecc_after", {})
    if not after:
        return "this GPU tells no error counters (no ECC, or switched off)"
    new = {key: after[key] - before.get(key, 0) for key in after}
    corrected, uncorrected = new.get("ecc_corrected", 0), new.get("ecc_uncorrected", 0)
    return f"its ECC counted {corrected} corrected and {uncorrected} uncorrected errors meanwhile"


@rule("GPU057")
def memory_loses_data(machine: Snapshot) -> Union[List[Problem], Passed]:
    """What was written to the GPU's memory is not what is read back."""
    gpus = ran(machine, "gpu_memory").data.get("gpus", [])
    tested = [gpu for gpu in gpus if gpu.get("patterns") or "ECC" in gpu.get("error", "")]
    if not tested:
        raise Skip(
            "; ".join(str(gpu.get("skipped") or gpu.get("error")) for gpu in gpus) or "no GPU was tested"
        )
    found = []
    for gpu in tested:
        count, pattern = _wrong(gpu)
        if not count and "ECC" not in gpu.get("error", ""):
            continue
        first = gpu["patterns"][pattern].get("first") if count else None
        place = f"word {first['word']}, bits {first['bits']}, in the pattern `{pattern}`" if first else ""
        size = gpu.get("bytes", 0)
        seen = f"{count} of {size // 4} words differ" if count else shorten(gpu["error"], 120)
        names = {
            "gpu": shorten(gpu["name"], 24),
            "index": gpu["index"],
            "seen": seen,
            "ecc": _counters(gpu),
        }
        found.append(
            Problem(names, tuple(filter(None, (seen, place, _counters(gpu)))), ("training", "results"))
        )
    sizes = (f"GPU {gpu['index']}: {gigabytes(gpu.get('bytes', 0))}" for gpu in tested)
    return found or Passed({"sizes": ", ".join(sizes)})


def _failure(attempt: Dict[str, Any]) -> str:
    """Why an attempt did not work; "" where it did."""
    if attempt.get("error"):
        return str(attempt["error"])
    wrong = attempt.get("wrong_values")
    return f"{wrong} values of the sum are wrong" if wrong else ""


def _attempts(machine: Snapshot) -> Tuple[int, List[Dict[str, Any]]]:
    data = ran(machine, "nccl_all_reduce").data
    return data["gpus"], data["attempts"]


@rule("GPU058")
def all_reduce_fails(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The GPUs cannot add up their tensors through NCCL, whatever is switched off."""
    count, attempts = _attempts(machine)
    last = attempts[-1]
    if not _failure(last):
        rate = last["bus_bytes_per_second"] / 1e9
        return Passed({"count": count, "rate": f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"})
    evidence = [f"{' '.join(one['variables']) or 'as NCCL chooses'}: {_failure(one)}" for one in attempts]
    evidence += [warning for one in attempts for warning in one.get("warnings", [])][:3]
    error = shorten(_failure(attempts[0]), 200)
    return [Problem({"count": count, "error": error}, tuple(evidence), ("training on several GPUs",))]


@rule("GPU059")
def all_reduce_needs_variable(machine: Snapshot) -> List[Problem]:
    """NCCL works only where one of its ways between the GPUs is switched off."""
    count, attempts = _attempts(machine)
    if _failure(attempts[-1]):
        raise Skip("no attempt worked; see GPU058")
    if len(attempts) == 1:
        return []
    settings = " ".join(f"{name}=1" for name in attempts[-1]["variables"])
    names = {"count": count, "error": shorten(_failure(attempts[0]), 200), "settings": settings}
    names["ways"] = " and ".join(
        {"NCCL_P2P_DISABLE": "peer-to-peer copies", "NCCL_SHM_DISABLE": "shared memory"}.get(name, name)
        for name in attempts[-1]["variables"]
    )
    evidence = (_failure(attempts[0]), *attempts[0].get("warnings", []))
    return [Problem(names, evidence, ("training on several GPUs",))]


@rule("GPU060")
def measurement_ended_badly(machine: Snapshot) -> List[Problem]:
    """A probe of `check --deep` died or hung, or a GPU refused one of its measurements."""
    results = [result for name in DEEP for result in [machine.probe(name)] if result is not None]
    if not results:
        raise Skip("only `check --deep` measures")
    found = [
        Problem({"probe": result.name, "error": result.error}, (result.error,), ("training",))
        for result in results
        if result.status in ENDED_BADLY
    ]
    for result in results:
        for gpu in result.data.get("gpus", []) if result.name in ("gpu_rates", "gpu_memory") else []:
            errors = [gpu.get("error"), gpu.get("copy", {}).get("error")]
            errors += [seen.get("error") for seen in gpu.get("multiply", {}).values()]
            told = [error for error in errors if error and "ECC" not in error]
            if told:
                names = {"probe": f"{result.name} on GPU {gpu['index']}", "error": shorten(told[0], 200)}
                found.append(Problem(names, tuple(told), ("training",)))
    return found


def _load(machine: Snapshot, size: str) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """(what was seen with batches of that size, all of the probe's data)."""
    data = ran(machine, "loader_workers").data
    return data["loads"].get(size, {}), data


def _loader_problem(seen: Dict[str, Any], data: Dict[str, Any]) -> Problem:
    room = data.get("shm", {}).get("total_bytes")
    error = str(seen.get("worker") or seen.get("error") or "batches came with other contents")
    names = {
        "bytes": f"{seen['bytes'] / 2**20:g} MiB",
        "workers": data["workers"],
        "shm": f"{room / 2**20:.0f} MiB" if room is not None else "absent",
        "error": shorten(error, 200),
        "came": seen["batches"],
        "sent": data["expected"],
    }
    return Problem(names, tuple(filter(None, (seen.get("error"), seen.get("worker")))), ("data loading",))


@rule("SYS070")
def workers_fail(machine: Snapshot) -> Union[List[Problem], Passed]:
    """DataLoader workers cannot hand over even batches of text."""
    seen, data = _load(machine, "small")
    if not seen:
        raise Skip("no batches were loaded")
    if "error" not in seen and seen["batches"] == data["expected"]:
        return Passed({"workers": data["workers"]})
    return [_loader_problem(seen, data)]


@rule("SYS071")
def workers_lack_room(machine: Snapshot) -> List[Problem]:
    """DataLoader workers hand over batches of text, and die with batches of images or audio."""
    small, data = _load(machine, "small")
    large, _ = _load(machine, "large")
    if not large or "error" in small:
        raise Skip("small batches do not pass either; see SYS070")
    return [_loader_problem(large, data)] if "error" in large or large["batches"] != data["expected"] else []


@rule("TOR056")
def checkpointing_breaks_gradients(machine: Snapshot) -> List[Problem]:
    """Gradient checkpointing changes or loses the gradients of LoRA."""
    result = ran(machine, "lora_variants")
    seen = case(result, "checkpointing")
    if "error" in seen:
        wrong = f"it ends with {seen['error']}"
    elif seen["without_gradient"]:
        wrong = f"{seen['without_gradient']} of {seen['tensors']} LoRA tensors get no gradient"
    elif seen["relative_error"] is None or seen["relative_error"] > CHECKPOINTING_LIMIT:
        told = "not finite" if seen["relative_error"] is None else f"off by {seen['relative_error']:.2g}"
        wrong = f"the gradients are {told} of the largest one without checkpointing"
    else:
        return []
    names = {"torch": version(result, "torch"), "peft": version(result, "peft"), "wrong": wrong}
    names["transformers"] = version(result, "transformers")
    return [Problem(names, (wrong,), ("training with gradient checkpointing",))]


@rule("BNB057")
def four_bit_training_fails(machine: Snapshot) -> List[Problem]:
    """LoRA over a 4-bit base does not train on the GPU, or what it learnt is lost."""
    result = ran(machine, "lora_variants")
    seen = case(result, "four_bit")
    if "skipped" in seen:
        raise Skip(str(seen["skipped"]))
    wrong = []
    if "error" in seen:
        wrong.append(f"it ends with {seen['error']}")
    else:
        if not seen["quantised_layers"]:
            wrong.append("no layer of the base was quantised")
        if None in seen["losses"]:
            wrong.append("a loss is not finite")
        if seen["without_gradient"]:
            wrong.append(f"{seen['without_gradient']} trainable tensors get no gradient")
        if not seen["moved"]:
            wrong.append("the trained model answers as before")
        elif seen["reload_error"] is None or seen["reload_error"] > RELOAD_LIMIT:
            wrong.append("the adapter that was loaded again does not answer as the trained one did")
    names = {"bitsandbytes": version(result, "bitsandbytes"), "peft": version(result, "peft")}
    return [Problem(dict(names, wrong="; ".join(wrong)), tuple(wrong), ("QLoRA",))] if wrong else []
