"""Rules about the room that one model needs: on the disk, in host memory, on the GPU. `--model` names it.

Without it the same rules tell which usual sizes there is room for. Everything is arithmetic on sizes that are told: of
the files, or of parameters. Activations, gradients and caches are not in it, and the words say so.
"""

from dataclasses import dataclass
from typing import List, Optional, Tuple, Union

from envdoc.doctor.facts.snapshot import Snapshot, Storage, WantedModel
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import gigabytes, shorten
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule

# A model of 7 billion parameters as the reference where none is named: Llama-2-7B, by its config.json.
USUAL = (("7B", 6_738_415_616), ("13B", 13_015_864_320), ("34B", 33_743_970_304), ("70B", 68_976_648_192))
USUAL_PER_RANK = 2_498_560

# Where no model is named: train/config.py, Lora.r and Train.keep.
USUAL_RUN = WantedModel("a 7B model", lora_parameters_per_rank=USUAL_PER_RANK)

# A checkpoint of a LoRA holds the adapter, which peft trains in 32 bit, and AdamW's two moments: 4 + 8 bytes each.
CHECKPOINT_BYTES_PER_PARAMETER = 12
CHECKPOINT_BESIDE_BYTES = 20_000_000  # the tokenizer's files and states; 17 MB for a vocabulary of 128,000

# Bytes for each parameter of a linear layer. 4 bit: half a byte, and a 32-bit scale for each block of 64
# (bitsandbytes, functional.py). The other parameters (embeddings, head, norms) stay in 16 bit.
LINEAR_BYTES = {16: 2.0, 8: 1.0, 4: 0.5 + 4 / 64}
PYTHON_BYTES = 1_000_000_000  # Python, torch and transformers beside the weights (SYS005)


@dataclass(frozen=True)
class Size:
    """A model as the rules count it. `stated` says where its size comes from, for the words."""

    name: str
    parameters: int
    linear: int
    stored_bytes: int
    stated: str
    is_quantized: bool = False

    def weights_bytes(self, bits: int) -> int:
        """The weights alone; a checkpoint that is quantised already stays as it is."""
        if self.is_quantized:
            return self.stored_bytes
        return int(2 * (self.parameters - self.linear) + LINEAR_BYTES[bits] * self.linear)


@rule("SYS042")
def room_for_download(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The hub's cache has no room for the model."""
    place = _place(machine, "cache")
    model = machine.model
    if model is None:
        fits = [(name, 2 * count) for name, count in USUAL if 2 * count <= place.free_bytes]
        if not fits:
            raise Skip("not even a 7B model in 16 bit fits, which SYS001 judges")
        name, size = fits[-1]
        return Passed(
            {"room": f"room for a {name} model in 16 bit: {gigabytes(size)} of {gigabytes(place.free_bytes)}"}
        )
    name = shorten(model.name.rpartition("/")[2], 28)
    if model.source == "folder" and model.present_bytes:
        return Passed({"room": f"{name} lies here already ({gigabytes(model.present_bytes)})"})
    size = _told(model, model.download_bytes)
    left = max(0, size - model.present_bytes)
    if left <= place.free_bytes:
        clone = model.repository_bytes or 0
        whole = f" ({gigabytes(clone)} as a clone)" if clone > 1.2 * size else ""
        part = f"{gigabytes(left)} of {gigabytes(place.free_bytes)}"
        return Passed({"room": f"room for the download of {name}: {part}{whole}{_estimate(model)}"})
    values = {
        "model": name,
        "needs": gigabytes(left),
        "free": gigabytes(place.free_bytes),
        "path": place.path,
        "stated": _stated(model),
    }
    evidence = [f"{place.path}: {gigabytes(place.free_bytes)} of {gigabytes(place.total_bytes)} free"]
    if model.repository_bytes:
        evidence.append(f"all files of {model.name}: {gigabytes(model.repository_bytes)}")
    severity = Severity.WARNING if model.source == "name" else None
    commands = (f"df -h {place.path}", "export HF_HOME=/path/to/a/larger/disk")
    return [Problem(values, tuple(evidence), ("downloads",), severity, commands)]


@rule("SYS043")
def room_for_checkpoints(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The working folder has no room for the checkpoints of a LoRA on this model, beside the download."""
    place = _place(machine, "work")
    model = machine.model
    run = model or USUAL_RUN
    if run.lora_parameters_per_rank is None:
        raise Skip("no config.json tells the model's layers")
    one = run.rank * run.lora_parameters_per_rank * CHECKPOINT_BYTES_PER_PARAMETER + CHECKPOINT_BESIDE_BYTES
    kept = run.kept_checkpoints + 1  # the oldest goes when the newest is written
    needs = kept * one
    cache = machine.storage_for("cache")
    coming = 0
    if model is not None and model.source != "folder" and cache is not None and _same_disk(place, cache):
        coming = max(0, (model.download_bytes or 0) - model.present_bytes)
    free = place.free_bytes - coming
    name = "a 7B model" if model is None else shorten(model.name.rpartition("/")[2], 24)
    values = {
        "model": name,
        "one": gigabytes(one),
        "needs": gigabytes(needs),
        "free": gigabytes(max(0, free)),
        "path": place.path,
        "rank": run.rank,
        "kept": kept,
        "beside": f", once {gigabytes(coming)} of the model are downloaded to the same disk"
        if coming
        else "",
    }
    if needs <= free:
        return Passed(values)
    if model is None:
        raise Skip("less is free than for the checkpoints of a 7B model, which SYS001 judges")
    if coming > place.free_bytes:
        raise Skip("the download alone does not fit, which SYS042 judges")
    return [Problem(values, (f"{place.path}: {gigabytes(place.free_bytes)} free",), ("checkpoints",))]


@rule("SYS044")
def host_memory_for_model(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The model's weights are larger than the host memory through which they may have to pass."""
    host = machine.host
    if not host.memory_bytes:
        raise Skip("the machine's memory was not told")
    granted = min(host.memory_bytes, host.memory_limit_bytes or host.memory_bytes)
    model = machine.model
    size = _size(machine)
    needs = size.stored_bytes + PYTHON_BYTES
    values = {
        "model": size.name,
        "weights": gigabytes(size.stored_bytes),
        "memory": gigabytes(granted),
        "stated": size.stated,
    }
    if needs <= granted:
        return Passed(values)
    if model is None:
        raise Skip(
            f"a 7B model in 16 bit ({values['weights']}) is larger than {values['memory']}; see SYS005"
        )
    largest = model.largest_file_bytes
    evidence = (f"largest file of weights: {gigabytes(largest)}",) if largest else ()
    lost = model.is_pickled or (largest and largest + PYTHON_BYTES > granted)
    whole = "It has to be read whole" if model.is_pickled else "It can be read shard by shard"
    severity = Severity.WARNING if lost and machine.gpus else None
    return [Problem({**values, "whole": whole}, evidence, ("loading the model",), severity)]


@rule("SYS045")
def gpu_memory_for_model(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The model's weights alone are larger than the GPUs' memory, even in 4 bit."""
    sizes = [gpu.memory_bytes for gpu in machine.gpus if gpu.memory_bytes]
    if not sizes:
        raise Skip("no GPU told its memory")
    if machine.model is None:
        for name, count in reversed(USUAL):
            fitting = _widest(_usual(name, count), max(sizes))
            if fitting:
                bits, needs = fitting
                return Passed({"room": _room(f"a {name} model", bits, needs, max(sizes))})
        raise Skip(f"no usual model fits {gigabytes(max(sizes))}")
    size = _size(machine)
    chosen = machine.model.bits or 4  # what a run file asks for; else the smallest that there is
    fitting = _widest(size, max(sizes))
    if fitting and fitting[0] >= chosen:
        bits = machine.model.bits or fitting[0]
        return Passed({"room": _room(size.name, bits, size.weights_bytes(bits), max(sizes)) + size.stated})
    least = size.weights_bytes(chosen)
    together = sum(sizes)
    values = {
        "model": size.name,
        "needs": gigabytes(least),
        "memory": gigabytes(max(sizes)),
        "bits": "as it is quantised" if size.is_quantized else f"in {chosen} bit",
        "together": f"All {len(sizes)} GPUs together have {gigabytes(together)}"
        + (": it has to be spread over them (device_map)." if least <= together else ".")
        if len(sizes) > 1
        else "There is one GPU.",
    }
    spreads = least <= together
    evidence = tuple(f"{bits} bit: {gigabytes(size.weights_bytes(bits))}" for bits in LINEAR_BYTES)
    severity = Severity.WARNING if spreads or "estimate" in size.stated else None
    return [Problem(values, evidence if not size.is_quantized else (), ("training",), severity)]


def _size(machine: Snapshot) -> Size:
    """The model of --model, or else the usual 7B. Raises Skip where nothing tells its size."""
    model = machine.model
    if model is None:
        return _usual(*USUAL[0])
    stored = _told(model, model.weight_bytes)
    parameters = model.parameters or stored // 2
    linear = model.linear_parameters if model.linear_parameters is not None else parameters
    name = shorten(model.name.rstrip("/").rpartition("/")[2] or model.name, 28)
    return Size(name, parameters, linear, stored, _estimate(model), model.is_quantized)


def _usual(name: str, count: int) -> Size:
    return Size(f"a {name} model", count, count, 2 * count, "")


def _widest(size: Size, memory_bytes: int) -> Optional[Tuple[int, int]]:
    """The most bits in which the weights fit, and their bytes then."""
    fits = [(bits, size.weights_bytes(bits)) for bits in LINEAR_BYTES]
    return next(((bits, needs) for bits, needs in fits if needs <= memory_bytes), None)


def _room(name: str, bits: int, needs: int, memory_bytes: int) -> str:
    return f"{name} fits in {bits} bit: its weights alone are {gigabytes(needs)} of {gigabytes(memory_bytes)}"


def _told(model: WantedModel, count: Optional[int]) -> int:
    if count is None:
        raise Skip(f"nothing tells the size of {shorten(model.name, 40)}: {model.problem or 'not known'}")
    return count


def _estimate(model: WantedModel) -> str:
    return " (an estimate from its name)" if model.source == "name" else ""


def _stated(model: WantedModel) -> str:
    return {
        "folder": "as the files in its folder say",
        "cache": "as the files in the cache say",
        "hub": "as the hub lists its files",
        "name": "an estimate from the number in its name",
    }.get(model.source, "as it was told")


def _same_disk(one: Storage, other: Storage) -> bool:
    return (one.file_system, one.total_bytes) == (other.file_system, other.total_bytes)


def _place(machine: Snapshot, purpose: str) -> Storage:
    place = machine.storage_for(purpose)
    if place is None or not place.total_bytes:
        raise Skip(f"the room of the {purpose} folder was not told")
    return place
