"""The weights in a model's folder by their headers, their index, and what the model's layers would need."""

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from envdoc.doctor.facts.snapshot_model import ModelWeights, WeightFile
from envdoc.doctor.weights import pickled, safetensors
from envdoc.doctor.weights.archive import Archive, pointer

MOST_FILES = 500
TOLD = 5
_SAFE = re.compile(r"(?!adapter_model)[\w.-]+\.safetensors")
_PICKLE = re.compile(r"pytorch_model[\w.-]*\.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
# Families whose layers are all alike and stand as model.layers.N in the file, and whose head is a tensor of its own
# unless tie_word_embeddings says otherwise (transformers: their configuration files).
ALIKE = ("llama", "mistral", "qwen2", "qwen3", "granite", "phi3")


def read_weights(folder: Path, names: Sequence[str], config: Mapping[str, Any]) -> ModelWeights:
    """What the headers tell. Without safetensors the .bin files are followed, never unpickled."""
    from envdoc.doctor.facts.model_folder import read_json

    safe = [name for name in names if _SAFE.fullmatch(name)][:MOST_FILES]
    bins = [name for name in names if _PICKLE.fullmatch(name)][:MOST_FILES]
    index = next((name for name in _INDEXES if name in names and (name.startswith("model") or not safe)), "")
    read = [_archive(folder / name) for name in (safe or bins)]
    where = {name: archive.path.name for archive in read for name in archive.tensors}
    found: Dict[str, Any] = {}
    if index:
        found = _against_index(folder, index, read_json(folder / index)[0], read, where)
    tensors = {name: tensor for archive in read for name, tensor in archive.tensors.items()}
    embedding = next((name for name in sorted(tensors) if name.endswith(_EMBEDDINGS)), "")
    shape = tensors[embedding].shape if embedding else ()
    broken = any(archive.problem or archive.faults for archive in read)
    complete = not broken and not found.get("missing_shards") and not found.get("lost_count")
    return ModelWeights(
        files=tuple(_told(archive) for archive in read),
        index=index,
        embedding=embedding,
        embedding_rows=shape[0] if len(shape) == 2 else None,
        embedding_width=shape[1] if len(shape) == 2 else None,
        missing=_missing(set(where), config) if complete and where else (),
        newer_pickle=_newer(folder, safe, bins),
        **found,
    )


def _archive(path: Path) -> Archive:
    return safetensors.read(path) if path.suffix == ".safetensors" else pickled.read(path)


def _told(archive: Archive) -> WeightFile:
    return WeightFile(
        archive.path.name,
        archive.bytes,
        archive.form,
        len(archive.tensors),
        archive.problem,
        pointer(archive.path),
        archive.faults[:TOLD],
        archive.foreign[:TOLD],
    )


def _against_index(
    folder: Path, index: str, told: Mapping[str, Any], read: Sequence[Archive], where: Mapping[str, str]
) -> Dict[str, Any]:
    """The index's weight_map (tensor -> shard) against the shards."""
    listed = told.get("weight_map")
    placed = {str(k): str(v) for k, v in listed.items()} if isinstance(listed, dict) else {}
    there = {archive.path.name for archive in read}
    broken = {archive.path.name for archive in read if archive.problem}
    shards = sorted(set(placed.values()))
    missing = [shard for shard in shards if shard not in there and not (folder / shard).is_file()]
    lost = sorted(
        name
        for name, shard in placed.items()
        if shard in there and shard not in broken and where.get(name) != shard
    )
    shards_ = set(shards)
    unlisted = sorted(name for name, file in where.items() if file in shards_ and name not in placed)
    return {
        "missing_shards": tuple(missing),
        "lost": tuple(lost[:TOLD]),
        "lost_count": len(lost),
        "unlisted": tuple(unlisted[:TOLD]),
        "unlisted_count": len(unlisted),
    }


def _missing(names: Set[str], config: Mapping[str, Any]) -> Tuple[str, ...]:
    """What from_pretrained would make at random, with a warning only: layers, parts of layers, the head."""
    if config.get("model_type") not in ALIKE or isinstance(config.get("quantization_config"), dict):
        return ()
    layers: Dict[int, Set[str]] = {}
    for name in names:
        match = re.match(r"(?:model\.)?layers\.(\d+)\.(.+)", name)
        if match:
            layers.setdefault(int(match.group(1)), set()).add(match.group(2))
    count = config.get("num_hidden_layers")
    missing: List[str] = []
    if layers and type(count) is int and 0 < count < 10_000:
        missing += [f"layer {number}" for number in range(count) if number not in layers]
    usual = (
        {part for part in set().union(*layers.values()) if _share(part, layers) > 0.5} if layers else set()
    )
    for number in sorted(layers):
        missing += [f"layers.{number}.{part}" for part in sorted(usual - layers[number])]
    heads = [one for one in config.get("architectures") or () if str(one).endswith("ForCausalLM")]
    if heads and not config.get("tie_word_embeddings", False) and "lm_head.weight" not in names and layers:
        missing.append("lm_head.weight")
    return tuple(missing[:20])


def _share(part: str, layers: Mapping[int, Set[str]]) -> float:
    return sum(1 for parts in layers.values() if part in parts) / len(layers)


def _newer(folder: Path, safe: Sequence[str], bins: Sequence[str]) -> str:
    """A .bin that was written a minute or more after every safetensors file, which are read instead of it."""
    try:
        last = max((folder / name).stat().st_mtime for name in safe)
        return next((name for name in bins if (folder / name).stat().st_mtime > last + 60), "")
    except (OSError, ValueError):
        return ""
