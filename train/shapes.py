"""The shapes of a row, and how each becomes one conversation: pure functions of what a reader yields.

    messages   {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    sharegpt   {"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}], "system": "..."}
    alpaca     {"instruction": "...", "input": "...", "output": "...", "system": "..."}      input and system may miss
    pairs      {"prompt": "...", "completion": "..."}                             or lists of messages in both
    tokens     {"input_ids": [...]}                                               no text: tokenised.py reads it

Either list may hold `role` and `content`, or `from` and `value`. A `content` may be a list of text parts. Tool calls
and images are refused, for they would be dropped in silence otherwise.
"""

import json
from typing import Any, Dict, List, Tuple

from envdoc.train import tokenised
from envdoc.train.errors import DataError
from envdoc.train.readers import Unreadable

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
TOOL_ROLES = ("tool", "function", "function_call", "observation", "ipython")
# The key by which a row is known; of several the first, since `messages` is the finished form.
SHAPES = {
    "messages": "messages",
    "conversations": "sharegpt",
    "instruction": "alpaca",
    "completion": "pairs",
    tokenised.IDS: tokenised.SHAPE,
}
# What would be lost in silence: a row that holds one of these is meant for another kind of training.
_TEXT_ONLY = ("envdoc trains on text", "Remove such rows.")
FOREIGN = {
    "tools": ("envdoc trains no tool calls", "Remove the row, or the key where its answer calls none."),
    "rejected": ("envdoc trains on answers, and not on preferences", "Keep the chosen answer only."),
    **dict.fromkeys(("image", "images", "videos", "audios"), _TEXT_ONLY),
}
# Of keys in a message: a table may have hundreds, and a CSV without a header has its first row for them.
SHOWN_KEYS, SHOWN_CHARACTERS = 8, 40
TURNS = {"messages": "messages", "sharegpt": "conversations"}

Message = Dict[str, str]


def shape_of(content: Any, where: str) -> str:
    """The shape of a row by its keys. `where` begins each sentence. Raises DataError where it has none known."""
    if not isinstance(content, dict):
        raise DataError(f"{where} is {_kind(content)} and no object.")
    keys = list(map(str, content))
    for key, shape in SHAPES.items():
        if key in keys:
            return shape
    raise DataError(
        f"{where} has the keys {_some(keys)}, which is none of the shapes known.",
        "Rows hold `messages`, or `conversations`, or `instruction` and `output`, or `prompt` and `completion`, or, "
        "tokenised already, `input_ids`.",
    )


def messages_of(content: Any, shape: str, where: str) -> Tuple[Message, ...]:
    """The conversation of a row. `where` begins each sentence. Raises DataError for what cannot be trained on."""
    if not isinstance(content, dict):
        raise DataError(f"{where} is {_kind(content)} and no object.")
    for key, (why, hint) in FOREIGN.items():
        if content.get(key):
            raise DataError(f"{where} has `{key}`: {why}.", hint)
    # Unpaired preferences of TRL and LLaMA-Factory; with alpaca rows a `label` may well be the task's own.
    verdict = "kto_tag" if shape == "alpaca" else "label"
    if content.get(verdict) is False:
        raise DataError(f"{where} is marked as a bad answer (`{verdict}` is false).", "Leave such rows out.")
    if shape == "alpaca":
        turns = _alpaca(content, where)
    elif shape == "pairs":
        turns = _pairs(content, where)
    else:
        key = TURNS[shape]
        turns = _system(content, where) + _turns(content, key, where)
    _check_order(turns, where)
    return tuple(turns)


def _check_order(turns: List[Message], where: str) -> None:
    roles = [turn["role"] for turn in turns]
    if "user" not in roles:
        raise DataError(f"{where} has no question (no message of the user).")
    if roles[-1] != "assistant":
        raise DataError(f"{where} ends without an answer: its last message is of the {roles[-1]}.")
    if "system" in roles[1:]:
        place = roles.index("system", 1) + 1
        raise DataError(
            f"{where} message {place}, is of the system, which speaks only first.",
            "Join it with the first message, or remove it.",
        )
    if roles.index("assistant") < roles.index("user"):
        raise DataError(
            f"{where} answers before the first question: message {roles.index('assistant') + 1} is of the assistant.",
            "Remove that message, or put the question before it.",
        )
    for turn in turns:
        if turn["role"] == "assistant" and not turn["content"].strip():
            raise DataError(f"{where} has an empty answer.", "Fill it or remove the row.")


def _alpaca(content: Dict[str, Any], where: str) -> List[Message]:
    instruction, more = _text(content, "instruction", where), _text(content, "input", where)
    if "output" not in content:
        raise DataError(f"{where} has no `output`.")
    if not instruction.strip():
        raise DataError(f"{where} has an empty `instruction`.")
    question = instruction + (f"\n\n{more}" if more.strip() else "")
    answer = _text(content, "output", where)
    return [
        *_system(content, where),
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def _pairs(content: Dict[str, Any], where: str) -> List[Message]:
    for key in ("prompt", "completion"):
        if content.get(key) is None:
            raise DataError(f"{where} has no `{key}`.")
    turns = _system(content, where)
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        if isinstance(content[key], list):
            turns += _turns(content, key, where)
        else:
            turns.append({"role": role, "content": _text(content, key, where)})
    return turns


def _system(content: Dict[str, Any], where: str) -> List[Message]:
    text = _text(content, "system", where)
    return [{"role": "system", "content": text}] if text.strip() else []


def _turns(content: Dict[str, Any], key: str, where: str) -> List[Message]:
    listed = content.get(key)
    if isinstance(listed, str):  # a table's cell
        listed = from_cell(listed, key, where)
    if isinstance(listed, dict) and all(isinstance(column, list) for column in listed.values()):
        # `Sequence` of `datasets` keeps a list of objects as an object of lists.
        listed = [dict(zip(listed, values)) for values in zip(*listed.values())]
    if not isinstance(listed, list) or not listed:
        raise DataError(f"{where} has no list `{key}`, which the first row has.")
    return [_turn(turn, f"{where} message {place},") for place, turn in enumerate(listed, 1)]


def _turn(turn: Any, where: str) -> Message:
    if isinstance(turn, Unreadable):
        raise DataError(f"{where} {turn.problem}", turn.hint)
    if not isinstance(turn, dict):
        raise DataError(f"{where} is {_kind(turn)} and no object.")
    role_key, text_key = ("from", "value") if turn.get("from") is not None else ("role", "content")
    said = str(turn.get(role_key)).lower()
    if said in TOOL_ROLES or turn.get("tool_calls") or turn.get("function_call"):
        raise DataError(f"{where} is a tool call, and envdoc trains none.", "Remove the row.")
    if said not in ROLES:
        raise DataError(f"{where} has no known `{role_key}`.", f"Known are: {', '.join(ROLES)}.")
    return {"role": ROLES[said], "content": _text(turn, text_key, where, must_be_there=True)}


def _text(content: Dict[str, Any], key: str, where: str, must_be_there: bool = False) -> str:
    text = content.get(key)
    if text is None and not must_be_there:
        return ""
    if isinstance(text, list) and text:
        text = "".join(_part(part, key, where) for part in text)
    if not isinstance(text, str):
        raise DataError(
            f"{where} has no text in `{key}`" + (f" but {_kind(text)}." if text is not None else ".")
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:  # no tokenizer takes it; JSON's \ud83d alone makes one
        raise DataError(
            f"{where} holds half of a character (U+{ord(text[error.start]):04X} alone) in `{key}`.",
            "The text was cut inside an emoji or escaped by halves: write it again from its source.",
        ) from None
    return text


def _part(part: Any, key: str, where: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = f"`{part.get('type')}`" if isinstance(part, dict) else _kind(part)
    raise DataError(
        f"{where} holds a part in `{key}` that is no text: {kind}.",
        'Parts are {"type": "text", "text": "..."}; envdoc trains on nothing else.',
    )


def from_cell(text: str, key: str, where: str) -> Any:
    """What a table's cell holds as JSON. Raises DataError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        pythonic = text.lstrip().startswith("[{'")
        hint = "That is Python's notation: write the column with `json.dumps`." if pythonic else None
        raise DataError(f"{where} holds no JSON in `{key}`: {error}.", hint) from None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return f"{str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    names = {str: "text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def _some(keys: List[str]) -> str:
    shown = ", ".join(f"`{key[:SHOWN_CHARACTERS]}`" for key in keys[:SHOWN_KEYS])
    return f"{shown} and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else shown or "(none)"
