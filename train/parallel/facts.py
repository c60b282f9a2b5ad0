"""What must be equal in every rank, and the sentence that names the odd one.

A mixed set of versions trains: each rank computes its part of a gradient its own way, and nobody sees it. So the
ranks compare themselves before anything heavy is loaded.
"""

import hashlib
import platform
import socket
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.train.compat import version_of
from envdoc.train.config import TINY, Run, flat
from envdoc.train.fingerprint import base_fingerprint, code_sha256, file_sha256

LIBRARIES = ("transformers", "peft", "accelerate", "bitsandbytes", "tokenizers", "safetensors", "numpy")
DRIVER = Path("/sys/module/nvidia/version")
SHOWN_HASH = 12

# Where things lie may differ from node to node: what lies there is compared.
PLACES = {
    "name",
    "output",
    "overwrite",
    "model.path",
    "model.trust_remote_code",
    "data.path",
    "eval.path",
    "parallel.deepspeed",
}

Facts = Dict[str, Optional[str]]


def of_this_rank(run: Run, envdoc_version: Optional[str]) -> Dict[str, Any]:
    """{"host": ..., "facts": {name: value}, "run": {key: value}} of this process. Imports torch and nothing else."""
    import torch

    facts: Facts = {"Python": platform.python_version(), "torch": str(torch.__version__)}
    facts.update({name: version_of(name) for name in LIBRARIES})
    if run.parallel.deepspeed:
        path = Path(run.parallel.deepspeed).expanduser()
        facts["deepspeed"] = version_of("deepspeed")
        facts["the hash of DeepSpeed's configuration"] = file_sha256(path) if path.is_file() else None
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        facts["the GPU"] = f"{torch.cuda.get_device_name()} (compute capability {major}.{minor})"
        facts["the driver"] = DRIVER.read_text(encoding="utf-8").strip() if DRIVER.is_file() else None
    else:
        facts["the GPU"] = None
    facts["envdoc"] = envdoc_version
    facts["envdoc's pipeline"] = code_sha256(Path(__file__).resolve().parent.parent)
    facts["the data's hash"] = _data(run)
    if run.model.path != TINY:
        folder = Path(run.model.path).expanduser().absolute()
        if folder.is_dir():  # where it is not, the pipeline has the better sentence
            facts["the base model's fingerprint"] = base_fingerprint(folder)
            facts["the hash of the base model's code"] = code_sha256(folder)
    told = {key: repr(value) for key, value in flat(run).items() if key not in PLACES}
    return {"host": socket.gethostname(), "facts": facts, "run": told}


def _data(run: Run) -> Optional[str]:
    from envdoc.train.data import data_file

    path = data_file(run.data)
    if path.is_file():
        return file_sha256(path)
    if not path.is_dir():
        return None
    digest = hashlib.sha256()
    for part in sorted(path.rglob("*")):
        if part.is_file():
            digest.update(f"{part.relative_to(path).as_posix()}\0{part.stat().st_size}\0".encode())
    return digest.hexdigest()


def difference(ranks: Sequence[Mapping[str, Any]], allow_mixed: bool = False) -> Optional[str]:
    """The sentence that names what differs and where, or None. `ranks` are `of_this_rank` of each, in order.

    `allow_mixed` passes over GPUs and drivers, which some clusters mix on purpose.
    """
    sentences = []
    for section in ("facts", "run"):
        names = [name for rank in ranks for name in rank[section]]
        for name in dict.fromkeys(names):
            if allow_mixed and name in ("the GPU", "the driver"):
                continue
            told = _odd(name, [rank[section].get(name) for rank in ranks], ranks)
            if told:
                sentences.append(told)
    if not sentences:
        return None
    return f"The {len(ranks)} processes of this run are not alike: {'; '.join(sentences)}."


def _odd(name: str, values: List[Optional[str]], ranks: Sequence[Mapping[str, Any]]) -> Optional[str]:
    """Where one value is not that of the most (of rank 0, where there is no majority)."""
    counts = {value: values.count(value) for value in values}
    if len(counts) == 1:
        return None
    usual = max(counts, key=lambda value: (counts[value], value == values[0]))
    parts = []
    for value in dict.fromkeys(value for value in values if value != usual):
        where = [place for place, found in enumerate(values) if found == value]
        parts.append(f"on {_places(where, ranks)} {name} is {_shown(value)}")
    rest = [place for place, found in enumerate(values) if found == usual]
    return f"{' and '.join(parts)}, and on {_places(rest, ranks)} it is {_shown(usual)}"


def _places(numbers: Sequence[int], ranks: Sequence[Mapping[str, Any]]) -> str:
    """ "node-b (ranks 2, 3)"; the host names of all of them."""
    hosts: Dict[str, List[int]] = {}
    for number in numbers:
        hosts.setdefault(str(ranks[number]["host"]), []).append(number)
    parts: List[Tuple[str, List[int]]] = list(hosts.items())
    return ", ".join(
        f"{host} (rank{'s' if len(found) > 1 else ''} {', '.join(map(str, found))})" for host, found in parts
    )


def _shown(value: Optional[str]) -> str:
    if value is None:
        return "missing"
    is_hash = len(value) == 64 and all(letter in "0123456789abcdef" for letter in value)
    return f"{value[:SHOWN_HASH]}..." if is_hash else value
