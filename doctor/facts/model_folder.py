"""A model's folder read: config.json, the ids in it, the code that it names; the other files by their own modules."""

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.facts.model_tokenizer import read_tokenizer
from envdoc.doctor.facts.model_weights import read_weights
from envdoc.doctor.facts.snapshot_model import ModelConfig, ModelFolder, SpecialIds
from envdoc.doctor.files import read_bytes
from envdoc.doctor.weights.archive import pointer

MOST_JSON_BYTES = 1 << 26
ROLES = ("bos", "eos", "pad")


def read_model_folder(folder: Path) -> ModelFolder:
    """What the files of that folder say. Nothing is raised: what cannot be read is told."""
    names = _names(folder)
    config, problem = read_json(folder / "config.json") if "config.json" in names else ({}, "it is not there")
    generation, _ = read_json(folder / "generation_config.json")
    tokenizer_config, _ = read_json(folder / "tokenizer_config.json")
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, dict) else config
    code = _code(config) + _code(tokenizer_config)
    told = ModelConfig(
        problem=problem,
        model_type=str(config.get("model_type") or "")[:40],
        architectures=_texts(config.get("architectures")),
        vocab_size=_size(text.get("vocab_size")),
        hidden_size=_size(text.get("hidden_size")),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or "")[:40],
        ids=tuple(_ids(text, "config.json") + _ids(generation, "generation_config.json")),
        code=tuple(dict.fromkeys(code)),
        missing_code=tuple(
            dict.fromkeys(
                file for file in (_file_of(one) for one in code if "--" not in one) if file not in names
            )
        ),
    )
    ends = [one.ids for one in told.ids if one.role == "eos"]
    return ModelFolder(
        str(folder),
        told,
        read_tokenizer(folder, names, [number for ids in ends for number in ids]),
        read_weights(folder, names, config),
    )


def read_json(path: Path) -> Tuple[Dict[str, Any], str]:
    """(the object, "") or ({}, why it is none)."""
    try:
        if pointer(path):
            return {}, "it is a pointer of Git LFS, not the file itself"
        value = json.loads(read_bytes(path, MOST_JSON_BYTES).decode("utf-8"))
    except OSError as error:
        return {}, str(error.strerror or error)
    except (ValueError, RecursionError) as error:
        return {}, f"it is not JSON: {str(error)[:100]}"
    return (value, "") if isinstance(value, dict) else ({}, "it is no JSON object")


def _names(folder: Path) -> Tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir()))[:5000]
    except OSError:
        return ()


def _ids(config: Mapping[str, Any], file: str) -> List[SpecialIds]:
    found = []
    for role in ROLES:
        value = config.get(f"{role}_token_id")
        values = value if isinstance(value, list) else [value]
        ids = tuple(one for one in values if type(one) is int)
        if ids:
            found.append(SpecialIds(role, file, ids))
    return found


def _code(config: Mapping[str, Any]) -> List[str]:
    """The classes of auto_map: a text each, or of a tokenizer a slow one and a fast one."""
    told = config.get("auto_map")
    values = list(told.values()) if isinstance(told, dict) else told if isinstance(told, list) else []
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return [one for one in flat if isinstance(one, str) and one]


def _file_of(name: str) -> str:
    """`modeling_x.Model` -> `modeling_x.py`"""
    return name.rpartition(".")[0].replace(".", "/") + ".py"


def _texts(value: Any) -> Tuple[str, ...]:
    return tuple(str(one)[:80] for one in value) if isinstance(value, list) else ()


def _size(value: Any) -> Optional[int]:
    return value if type(value) is int and value > 0 else None
