"""The model of `--model`: in a folder, in the hub's cache, or only a name. Files are listed and weighed, not read."""

import dataclasses
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.model_config import with_config
from envdoc.doctor.facts.run_file import read_run_file
from envdoc.doctor.facts.snapshot import WantedModel
from envdoc.doctor.facts.storage import hub_cache

MOST_CONFIG_BYTES = 1_000_000
MOST_FILES = 5_000
# What from_pretrained of model and tokenizer fetches beside the weights.
_TEXT = (".json", ".txt", ".model", ".py", ".jinja", ".tiktoken")
_SHARD = r"(?:-\d{5}-of-\d{5})?"
_SAFETENSORS = re.compile(rf"(?:model|adapter_model){_SHARD}\.safetensors")
_PICKLES = re.compile(rf"(?:pytorch_model|adapter_model){_SHARD}\.bin")
# "7B", "1.1b", "560m", "8x7B" as a word of a name; of Qwen3-30B-A3B the active 3B is passed over.
_NUMBER = re.compile(r"(?<![A-Za-z0-9.])(?:(\d{1,3})x)?(\d{1,4}(?:\.\d{1,3})?)([bBmM])(?![A-Za-z0-9])")
# Bytes for each parameter of a checkpoint that is quantised and says so in its name; the others have 16 bit.
_STORED = (
    (re.compile(r"(?i)(?<![a-z])(?:bnb-)?(?:4-?bit|int4|awq|gptq|nf4|fp4)(?![a-z0-9])"), 0.6),
    (re.compile(r"(?i)(?<![a-z])(?:8-?bit|int8|fp8)(?![a-z0-9])"), 1.0),
)
_REPOSITORY = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")


def wanted_model(name: str, environ: Mapping[str, str]) -> WantedModel:
    """What can be told without a network about the model of that name, in that folder, or in that run file.

    Raises EnvdocError where the name is a path that leads to no folder, or no name that a hub could have.
    """
    if name.endswith((".yaml", ".yml")):
        run = read_run_file(_path(name))
        if run.model.endswith((".yaml", ".yml")):
            raise EnvdocError(f"The run file `{name}` names another run file as its model.")
        if run.model == "tiny":  # train/config.py: TINY
            return WantedModel("tiny", "folder", "the tiny model is made on the spot and needs no room")
        model = wanted_model(run.model, environ)
        return dataclasses.replace(model, rank=run.rank, kept_checkpoints=run.kept, bits=run.bits)
    folder = _path(name)
    if name.strip() and _is_folder(folder):
        return _in_folder(WantedModel(name), folder, "folder")
    if name.startswith(("/", "./", "../", "~")) or name in (".", ".."):
        raise EnvdocError(
            f"`--model {name}` is no folder.",
            "Name a folder with a config.json, a run file (.yaml), or a model on the hub: ORGANISATION/NAME.",
        )
    if not _REPOSITORY.fullmatch(name) or ".." in name:
        raise EnvdocError(
            f"`--model {name}` is neither a folder nor a name on the hub.",
            "Such a name is ORGANISATION/NAME.",
        )
    model = WantedModel(name)
    for snapshot in _snapshots(name, environ):
        found = _in_folder(model, snapshot, "cache")
        if found.weight_bytes and not _is_partial(snapshot):
            return found
        model = dataclasses.replace(model, present_bytes=_blobs_bytes(snapshot.parent.parent / "blobs"))
    size = parameters_in(name)
    if size:
        stored = int(size * next((share for sign, share in _STORED if sign.search(name)), 2.0))
        return dataclasses.replace(
            model, source="name", parameters=size, download_bytes=stored, weight_bytes=stored
        )
    return dataclasses.replace(model, problem="its name tells no size; with --online the hub is asked for it")


def model_folder(name: str, environ: Mapping[str, str]) -> Optional[Path]:
    """The folder of that model on this machine: itself, a run file's, or a whole snapshot in the hub's cache.

    None where there is none, or none with weights or a config.json in it. Raises EnvdocError as `wanted_model` does.
    """
    if name.endswith((".yaml", ".yml")):
        inner = read_run_file(_path(name)).model
        return None if inner == "tiny" or inner.endswith((".yaml", ".yml")) else model_folder(inner, environ)
    folder = _path(name)
    if name.strip() and _is_folder(folder):
        return folder
    whole = [
        one for one in _snapshots(name, environ) if (one / "config.json").is_file() and not _is_partial(one)
    ]
    return whole[0] if whole else None


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # the home of a user who is not there
        return Path(name)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long for a file
        return False


def with_files(model: WantedModel, files: Sequence[Tuple[str, int]], source: str) -> WantedModel:
    """The model with its sizes by a list of files (name relative to its folder, bytes)."""
    top = [(PurePosixPath(name).name, size) for name, size in files if "/" not in name.strip("/")]
    safe = [(name, size) for name, size in top if _SAFETENSORS.fullmatch(name)]
    pickled = [(name, size) for name, size in top if _PICKLES.fullmatch(name)]
    weights = safe or pickled
    if not weights:
        return dataclasses.replace(model, problem="no file of weights that from_pretrained reads is in it")
    text = sum(size for name, size in top if name.endswith(_TEXT))
    weight_bytes = sum(size for _, size in weights)
    return dataclasses.replace(
        model,
        source=source,
        problem="",
        weight_bytes=weight_bytes,
        download_bytes=weight_bytes + text,
        repository_bytes=sum(size for _, size in files),
        largest_file_bytes=max(size for _, size in weights),
        is_pickled=not safe,
    )


def parameters_in(name: str) -> int:
    """The parameters that a name tells: 7e9 of `Llama-2-7b-hf`; 0 where it tells none."""
    sizes = []
    for experts, number, unit in _NUMBER.findall(name):
        sizes.append(int(int(experts or 1) * float(number) * (1e9 if unit in "bB" else 1e6)))
    return max(sizes, default=0)


def _in_folder(model: WantedModel, folder: Path, source: str) -> WantedModel:
    files = []
    for path in _files(folder):
        try:
            files.append((str(path.relative_to(folder)), path.stat().st_size))
        except OSError:  # a link of the cache whose blob is gone
            continue
    found = with_files(model, files, source)
    config = _json(folder / "config.json")
    found = with_config(found, config if isinstance(config, dict) else {})
    if found.weight_bytes is None and found.parameters:  # a config.json alone: weights are still to come
        size = 2 * found.parameters
        found = dataclasses.replace(found, source=source, problem="", weight_bytes=size, download_bytes=size)
    elif found.weight_bytes is not None:
        found = dataclasses.replace(found, present_bytes=found.download_bytes or 0)
    return found


def _files(folder: Path) -> Sequence[Path]:
    """The files of a model's folder and of the folders in it, hidden ones (.git, .cache) passed over."""
    found: List[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or len(found) > MOST_FILES:
            continue
        if path.is_dir():
            found += [inner for inner in sorted(path.iterdir())[:MOST_FILES] if inner.is_file()]
        else:
            found.append(path)
    return found


def _snapshots(name: str, environ: Mapping[str, str]) -> Sequence[Path]:
    """The snapshots of that model in the hub's cache, newest first."""
    try:
        home = Path(environ.get("HOME") or "~").expanduser()
        folder = hub_cache(environ, home) / f"models--{name.replace('/', '--')}" / "snapshots"
        return sorted(folder.iterdir(), key=lambda path: -path.stat().st_mtime)
    except (OSError, RuntimeError):
        return ()


def _blobs_bytes(folder: Path) -> int:
    """What a download that was broken off has left, the files that are not complete included."""
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0


def _is_partial(snapshot: Path) -> bool:
    """Whether a shard that the index of the weights names is not there."""
    for index in snapshot.glob("*.index.json"):
        told = _json(index)
        names = told.get("weight_map") if isinstance(told, dict) else None
        if isinstance(names, dict) and any(not (snapshot / str(n)).exists() for n in set(names.values())):
            return True
    return False


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > 50 * MOST_CONFIG_BYTES:
            return None
        return json.loads(path.read_text("utf-8", "replace"))
    except (OSError, ValueError, RecursionError):
        return None
