"""profiles.toml: one entry is put in its place, everything else and every comment stays as it was."""

import json
import re
from typing import Any, Dict, List, Tuple

import tomllib

KEYS = (
    "title", "python", "torch", "transformers", "bitsandbytes", "cuda", "driver_exact", "driver_minor",
    "torch_architectures", "bitsandbytes_architectures", "glibc", "download_bytes", "venv_bytes", "date", "probe",
)  # fmt: skip
HEAD = re.compile(r"^\[([A-Za-z0-9_-]+)\]\s*$")


def put(text: str, name: str, values: Dict[str, Any]) -> str:
    """The file with `values` in the entry [NAME]; keys that are not told, and comments, stay.

    A new entry comes after the others of its torch, before the first with an older torch; CPU profiles and those of
    the last resort stay behind the CUDA profiles.
    """
    head, blocks = _blocks(text)
    entry = dict(blocks).get(name)
    if entry is None:
        entry = [f"[{name}]"]
        blocks.insert(_place(text, [known for known, _ in blocks], values), (name, entry))
    _fill(entry, values)
    parts = ["\n".join(head).rstrip()] + ["\n".join(lines).rstrip() for _, lines in blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _blocks(text: str) -> Tuple[List[str], List[Tuple[str, List[str]]]]:
    """What stands before the first entry, and each entry's lines; comments right above an entry belong to it."""
    head: List[str] = []
    blocks: List[Tuple[str, List[str]]] = []
    for line in text.splitlines():
        begins = HEAD.match(line)
        if begins:
            before = blocks[-1][1] if blocks else head
            own: List[str] = []
            while before and before[-1].startswith("#"):
                own.insert(0, before.pop())
            blocks.append((begins.group(1), [*own, line]))
        else:
            (blocks[-1][1] if blocks else head).append(line)
    return head, blocks


def _place(text: str, names: List[str], values: Dict[str, Any]) -> int:
    tables = tomllib.loads(text)
    rank = _rank(values)
    later = [place for place, name in enumerate(names) if _rank(tables[name]) > rank]
    return later[0] if later else len(names)


def _rank(entry: Dict[str, Any]) -> Tuple[bool, bool, Tuple[int, ...]]:
    newest_first = tuple(-int(part) for part in re.findall(r"\d+", entry["torch"]))
    return (entry.get("last_resort", False), not entry["cuda"], newest_first)


def _fill(entry: List[str], values: Dict[str, Any]) -> None:
    """Replace the lines of the keys that are there; the others come behind the nearest key before them in KEYS."""
    for key in [*KEYS, *(key for key in values if key not in KEYS)]:
        if key not in values:
            continue
        line, place = f"{key} = {_written(values[key])}", _line_of(entry, key)
        if place is not None:
            entry[place] = line
            continue
        before = KEYS[: KEYS.index(key)] if key in KEYS else KEYS
        places = [found for known in before for found in [_line_of(entry, known)] if found is not None]
        start = next(number for number, line in enumerate(entry) if HEAD.match(line))
        entry.insert(max(places, default=start) + 1, line)


def _line_of(entry: List[str], key: str) -> "int | None":
    return next((number for number, line in enumerate(entry) if line.startswith(key + " =")), None)


def _written(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}"
    return json.dumps(value, ensure_ascii=False)
