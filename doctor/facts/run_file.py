"""The few values of a run file (`envdoc train RUN.yaml`) that decide about room: the model, the rank, what is kept.

The doctor has no YAML reader and needs none for this: `key: value` lines, one level of nesting by indentation or in
braces. What is written otherwise is passed over, and the defaults of train/config.py stand.
"""

import re
from pathlib import Path
from typing import Dict, NamedTuple

from envdoc.doctor.errors import EnvdocError

MOST_BYTES = 100_000
RANK, KEPT, BITS = 16, 2, 16  # train/config.py: Lora.r, Train.keep, Model.quantization
_LINE = re.compile(r"^(\s*)([\w.]+)\s*:\s*(.*?)\s*$")
_QUANTIZATION = {"8bit": 8, "4bit": 4}


class RunFile(NamedTuple):
    """What a run file says of its model; the defaults where it says nothing."""

    model: str
    rank: int = RANK
    kept: int = KEPT  # checkpoints
    bits: int = BITS


def read_run_file(path: Path) -> RunFile:
    """The run file's model and its adapter. Raises EnvdocError where it cannot be read or names no model."""
    try:
        text = path.read_text("utf-8")[:MOST_BYTES]
    except (OSError, UnicodeDecodeError) as error:
        raise EnvdocError(f"The run file `{path}` cannot be read: {error}.") from error
    told = _values(text)
    model = told.get("model.path") or told.get("model") or ""
    if not model:
        raise EnvdocError(f"The run file `{path}` names no model.", "It has a line `model: FOLDER`.")
    return RunFile(
        model=model,
        rank=_count(told.get("lora.r", ""), RANK),
        kept=_count(told.get("train.keep", ""), KEPT),
        bits=_QUANTIZATION.get(told.get("model.quantization", ""), BITS),
    )


def _values(text: str) -> Dict[str, str]:
    """Dotted key → value as written, without comments and quotes."""
    found: Dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        match = _LINE.match(re.sub(r"(^|\s)#.*$", "", line))
        if not match:
            continue
        indent, key, value = match.groups()
        name = f"{section}.{key}" if indent and section else key
        if not indent:
            section = "" if value else key
        if value.startswith("{") and value.endswith("}"):
            pairs = (pair.partition(":") for pair in value[1:-1].split(","))
            found.update({f"{name}.{k.strip()}": _plain(v) for k, _, v in pairs if k.strip()})
        elif value:
            found[name] = _plain(value)
    return found


def _plain(value: str) -> str:
    return value.strip().strip("'\"")


def _count(text: str, otherwise: int) -> int:
    return int(text) if text.isdigit() and 0 < int(text) < 100_000 else otherwise
