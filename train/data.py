"""Training rows: read and checked, before anything slow is loaded.

Three shapes of row, in JSON Lines or JSON:
    messages   {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    alpaca     {"instruction": "...", "input": "...", "output": "..."}            input may be missing
    sharegpt   {"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

from envdoc.train.config import BUNDLED, Data
from envdoc.train.errors import DataError

BUNDLED_FILE = Path(__file__).parent / "assets" / "instructions.jsonl"
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
SHAPES = {"messages": "messages", "conversations": "sharegpt", "instruction": "alpaca"}

Message = Dict[str, str]


@dataclass(frozen=True)
class Row:
    """One conversation. `number` is its line in JSON Lines, its place (from 1) in JSON."""

    number: int
    messages: Tuple[Message, ...]


def data_file(data: Data) -> Path:
    """The file that `data.path` names."""
    return BUNDLED_FILE if data.path == BUNDLED else Path(data.path).expanduser()


def read_rows(data: Data) -> Tuple[Row, ...]:
    """Every row of the file, checked. Raises DataError with the row's number."""
    path = data_file(data)
    raw = _read_raw(path)
    if not raw:
        raise DataError(f"The data file `{path}` holds no row.")
    shape = data.format if data.format != "auto" else _shape_of(raw[0][1], path)
    return tuple(Row(number, _messages(content, shape, number, path)) for number, content in raw)


def _read_raw(path: Path) -> List[Tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"There is no data file `{path}`.",
            "Name a .jsonl or .json file with `data=FILE`; relative paths start at the working directory.",
        ) from None
    except IsADirectoryError:
        raise DataError(f"`{path}` is a folder; `data` must name a .jsonl or .json file.") from None
    except UnicodeDecodeError as error:
        place = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"`{path}`, line {place}, is not UTF-8 text.", "Save the file as UTF-8.") from None
    except OSError as error:
        raise DataError(f"The data file `{path}` cannot be read: {error.strerror}.") from None
    if path.suffix == ".json":
        try:
            whole = json.loads(text)
        except ValueError as error:
            raise DataError(f"`{path}` is not JSON: {error}.", "JSON Lines files end in .jsonl.") from None
        if isinstance(whole, dict) and isinstance(whole.get("data"), list):
            whole = whole["data"]
        if not isinstance(whole, list):
            raise DataError(f"`{path}` must hold a list of rows, and holds a {type(whole).__name__}.")
        return list(enumerate(whole, 1))
    rows = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: U+2028 may stand inside a row
        if line.strip():
            try:
                rows.append((number, json.loads(line)))
            except ValueError as error:
                raise DataError(
                    f"`{path}`, row {number}, is not JSON: {error}.", "JSON Lines is one object a line."
                ) from None
    return rows


def _shape_of(first: Any, path: Path) -> str:
    keys = list(first) if isinstance(first, dict) else []
    for key, shape in SHAPES.items():
        if key in keys:
            return shape
    raise DataError(
        f"The first row of `{path}` has the keys {keys}, which is none of the shapes known.",
        "Rows hold `messages`, or `instruction` and `output`, or `conversations`.",
    )


def _messages(content: Any, shape: str, number: int, path: Path) -> Tuple[Message, ...]:
    where = f"`{path}`, row {number},"
    if not isinstance(content, dict):
        raise DataError(f"{where} is a {type(content).__name__} and no object.")
    if shape == "alpaca":
        turns = _alpaca(content, where)
    else:
        list_key, role_key, text_key = (
            ("messages", "role", "content") if shape == "messages" else ("conversations", "from", "value")
        )
        listed = content.get(list_key)
        if not isinstance(listed, list) or not listed:
            raise DataError(f"{where} has no list `{list_key}`, which the first row has.")
        turns = []
        for place, turn in enumerate(listed, 1):
            role = ROLES.get(str(turn.get(role_key)).lower()) if isinstance(turn, dict) else None
            if role is None:
                raise DataError(
                    f"{where} message {place}, has no known `{role_key}`.",
                    f"Known are: {', '.join(ROLES)}.",
                )
            text = turn.get(text_key)
            if not isinstance(text, str):
                raise DataError(f"{where} message {place}, has no text in `{text_key}`.")
            turns.append({"role": role, "content": text})
    if not any(turn["role"] == "user" for turn in turns):
        raise DataError(f"{where} has no question (no message of the user).")
    if turns[-1]["role"] != "assistant":
        raise DataError(f"{where} ends without an answer: its last message is of the {turns[-1]['role']}.")
    for turn in turns:
        if turn["role"] == "assistant" and not turn["content"].strip():
            raise DataError(f"{where} has an empty answer.", "Fill it or remove the row.")
    return tuple(turns)


def _alpaca(content: Dict[str, Any], where: str) -> List[Message]:
    texts = {}
    for key in ("instruction", "input", "output", "system"):
        texts[key] = "" if content.get(key) is None else content[key]
        if not isinstance(texts[key], str):
            raise DataError(f"{where} has no text in `{key}`.")
    if "output" not in content:
        raise DataError(f"{where} has no `output`.")
    if not texts["instruction"].strip():
        raise DataError(f"{where} has an empty `instruction`.")
    question = texts["instruction"] + (f"\n\n{texts['input']}" if texts["input"].strip() else "")
    system = [{"role": "system", "content": texts["system"]}] if texts["system"].strip() else []
    return [*system, {"role": "user", "content": question}, {"role": "assistant", "content": texts["output"]}]
