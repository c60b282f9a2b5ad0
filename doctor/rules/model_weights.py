"""Rules about config.json, the weights and the code in a model's folder (`check --model DIR`), by headers and names.

A shard that is cut short or a pointer of Git LFS is told in seconds here, and after minutes of loading elsewhere.
"""

from typing import List

from envdoc.doctor.facts.snapshot import ModelFolder, Snapshot, WeightFile
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import shorten, version_of
from envdoc.doctor.rules.model_tokenizer import folder_of, name_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.pickle_names import dangerous
from envdoc.doctor.tables.versions import satisfies

LOADING = ("loading the model",)
# torch's names of floating numbers, as config.json may give them (torch, and "auto").
DTYPES = (
    "auto",
    "bfloat16",
    "double",
    "float",
    "float16",
    "float32",
    "float64",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "half",
    "int8",
    "uint8",
)
# transformers refuses to torch.load below torch 2.6 (CVE-2025-32434; huggingface/transformers#37785).
GATED, GATE = ">=4.52.0", ">=2.6"


def _weights(machine: Snapshot) -> ModelFolder:
    folder = folder_of(machine)
    if not folder.weights.files and not folder.weights.missing_shards:
        raise Skip("there is no file of weights in it")
    return folder


def _read(machine: Snapshot) -> ModelFolder:
    folder = _weights(machine)
    if not any(file.tensors for file in folder.weights.files):
        raise Skip("no file of weights could be read")
    return folder


@rule("TRF020")
def config_readable(machine: Snapshot) -> List[Problem]:
    """config.json is missing, unreadable, or says no model_type."""
    folder = folder_of(machine)
    config = folder.config
    if config.problem:
        return [
            Problem(
                {
                    "model": name_of(folder),
                    "what": f"has no config.json that can be read ({config.problem})"
                    if len(config.problem) < 20
                    else "has no config.json that can be read",
                    "detail": f"Of config.json: {config.problem}",
                },
                (),
                LOADING,
            )
        ]
    if not config.model_type:
        what = "has a config.json without model_type"
        detail = "AutoConfig chooses the class by model_type, and by the folder's name where there is none"
        return [Problem({"model": name_of(folder), "what": what, "detail": detail}, (), LOADING)]
    return []


@rule("TRF021")
def shards_there(machine: Snapshot) -> List[Problem]:
    """The index of the weights names files that are not there."""
    folder = folder_of(machine)
    weights = folder.weights
    if not weights.index:
        raise Skip("the weights have no index")
    if not weights.missing_shards:
        return []
    count = len(set(weights.missing_shards))
    values = {"count": count, "first": shorten(weights.missing_shards[0], 36), "index": weights.index}
    return [Problem(values, weights.missing_shards[:8], LOADING)]


@rule("TRF022")
def no_pointers(machine: Snapshot) -> List[Problem]:
    """A file of weights is the pointer that Git LFS leaves where it did not fetch."""
    folder = _weights(machine)
    pointers = [file.name for file in folder.weights.files if file.is_pointer]
    if not pointers:
        return []
    values = {"count": len(pointers), "all": len(folder.weights.files), "path": folder.path}
    return [Problem(values, tuple(pointers[:8]), LOADING)]


@rule("TRF023")
def weights_whole(machine: Snapshot) -> List[Problem]:
    """A file of weights is cut short, or its header is wrong."""
    folder = _weights(machine)
    broken = [file for file in folder.weights.files if not file.is_pointer and (file.problem or file.faults)]
    return [
        Problem(
            {"file": shorten(file.name, 40), "fault": _fault(file), "bytes": f"{file.bytes:,}"},
            file.faults,
            LOADING,
        )
        for file in broken[:8]
    ]


def _fault(file: WeightFile) -> str:
    return file.problem or file.faults[0]


@rule("TRF024")
def index_fits(machine: Snapshot) -> List[Problem]:
    """The index and the shards name different tensors."""
    folder = _read(machine)
    weights = folder.weights
    if not weights.index:
        raise Skip("the weights have no index")
    if not weights.lost_count and not weights.unlisted_count:
        return []
    values = {
        "index": weights.index,
        "lost": weights.lost_count,
        "unlisted": weights.unlisted_count,
        "first": (weights.lost or weights.unlisted)[0],
    }
    severity = Severity.ERROR if weights.lost_count else Severity.WARNING
    return [Problem(values, (*weights.lost, *weights.unlisted), LOADING, severity)]


@rule("TRF025")
def dtype_known(machine: Snapshot) -> List[Problem]:
    """config.json names a type of numbers that torch does not have."""
    folder = folder_of(machine)
    dtype = folder.config.dtype
    if not dtype:
        raise Skip("config.json names no type of numbers")
    if dtype.replace("torch.", "", 1) in DTYPES:
        return []
    return [
        Problem({"model": name_of(folder), "dtype": shorten(dtype, 12)}, (f"config.json: {dtype}",), LOADING)
    ]


@rule("TRF026")
def code_there(machine: Snapshot) -> List[Problem]:
    """auto_map names code that is not in the folder."""
    folder = folder_of(machine)
    config = folder.config
    if not config.code:
        raise Skip("it names no code of its own (auto_map)")
    if not config.missing_code:
        return []
    values = {"model": name_of(folder), "first": shorten(config.missing_code[0], 36)}
    return [Problem(values, config.missing_code, LOADING)]


@rule("TRF027")
def runs_own_code(machine: Snapshot) -> List[Problem]:
    """Loading the model runs Python of its own."""
    folder = folder_of(machine)
    code = folder.config.code
    if not code:
        return []
    remote = sorted({one.partition("--")[0] for one in code if "--" in one})
    where = (
        f"from {remote[0]} on the hub, at whatever revision is newest there" if remote else "from this folder"
    )
    advice = "Name a `code_revision` to pin it." if remote else "Read it before you allow that."
    values = {"model": name_of(folder), "where": where, "advice": advice}
    return [Problem(values, code[:8], LOADING, Severity.WARNING if remote else Severity.INFO)]


@rule("TRF028")
def pickles_refused(machine: Snapshot) -> List[Problem]:
    """The weights are pickles, which this transformers refuses to load with this torch."""
    folder = _weights(machine)
    pickles = [file.name for file in folder.weights.files if file.form == "pickle"]
    transformers, torch = version_of(machine, "transformers"), version_of(machine, "torch")
    if transformers is None or torch is None:
        raise Skip("no transformers or no torch was found")
    if not pickles or not satisfies(transformers, GATED) or satisfies(torch.partition("+")[0], GATE):
        return []
    values = {
        "file": shorten(pickles[0], 24),
        "transformers": shorten(transformers, 12),
        "torch": shorten(torch, 14),
    }
    return [Problem(values, tuple(pickles[:8]), LOADING)]


@rule("TRF029")
def pickle_names_code(machine: Snapshot) -> List[Problem]:
    """A pickle would import something that no tensor needs."""
    folder = _weights(machine)
    found = [file for file in folder.weights.files if file.foreign]
    problems = []
    for file in found[:8]:
        bad = dangerous(file.foreign)
        values = {"file": shorten(file.name, 30), "name": shorten((bad or list(file.foreign))[0], 32)}
        severity = Severity.ERROR if bad else Severity.WARNING
        problems.append(Problem(values, file.foreign, ("loading the model", "this machine"), severity))
    return problems


@rule("TRF030")
def embedding_fits_config(machine: Snapshot) -> List[Problem]:
    """The embedding in the weights is of another size than config.json says."""
    folder = _read(machine)
    weights, config = folder.weights, folder.config
    pairs = [
        ("vocab_size", config.vocab_size, "rows", weights.embedding_rows),
        ("hidden_size", config.hidden_size, "columns", weights.embedding_width),
    ]
    known = [pair for pair in pairs if pair[1] is not None and pair[3] is not None]
    if not known:
        raise Skip("config.json or the weights tell no size of an embedding")
    return [
        Problem(
            {"key": key, "told": told, "what": what, "found": found, "tensor": weights.embedding},
            (f"config.json: {key} {told}", f"{weights.embedding}: {found} {what}"),
            LOADING,
        )
        for key, told, what, found in known
        if told != found
    ]


@rule("TRF031")
def tensors_complete(machine: Snapshot) -> List[Problem]:
    """Tensors that the model needs are in no file, and are made at random."""
    folder = _read(machine)
    missing = folder.weights.missing
    if not missing:
        return []
    values = {"model": name_of(folder), "count": len(missing), "first": shorten(missing[0], 30)}
    return [Problem(values, missing[:8], ("every answer of the model",))]


@rule("TRF032")
def newer_pickle(machine: Snapshot) -> List[Problem]:
    """A .bin is newer than the safetensors that are loaded instead of it."""
    folder = _weights(machine)
    newer = folder.weights.newer_pickle
    return [Problem({"model": name_of(folder), "file": newer}, (newer,), LOADING)] if newer else []
