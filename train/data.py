"""Training rows: read, checked, and turned into tokens whose labels lie on the answers alone.

Three shapes of row, in JSON Lines or JSON:
    messages   {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    alpaca     {"instruction": "...", "input": "...", "output": "..."}            input may be missing
    sharegpt   {"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}

Nothing here imports torch, so that a bad row is told before anything slow is loaded.
"""

import hashlib
import json
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from envdoc.train.config import BUNDLED, Data
from envdoc.train.errors import DataError

MASKED = -100  # torch's cross entropy passes over this label
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
PLAIN_QUESTION = "### Instruction:\n{}\n\n### Response:\n"

Message = Dict[str, str]


@dataclass(frozen=True)
class Row:
    """One conversation. `number` is its line in JSON Lines, its place (from 1) in JSON."""

    number: int
    messages: Tuple[Message, ...]


@dataclass(frozen=True)
class Tokens:
    """One row as token ids; `labels` has the same length and MASKED wherever nothing is learnt."""

    number: int
    input_ids: List[int]
    labels: List[int]

    @property
    def answer_tokens(self) -> int:
        """How many tokens carry a label."""
        return sum(label != MASKED for label in self.labels)


@dataclass(frozen=True)
class Corpus:
    """Everything that is trained on, and the hashes by which it is known again."""

    path: str
    rows: Tuple[Tokens, ...]
    sha256: str  # of the file's bytes
    encoded_sha256: str  # of every id and label: also changes with the tokenizer, the template and the length
    template: str  # "the tokenizer's own", "plain"
    notes: Tuple[str, ...] = ()  # what was left out or cut, in sentences

    @property
    def tokens(self) -> int:
        """Tokens of one epoch, padding not counted."""
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def answer_tokens(self) -> int:
        """Labelled tokens of one epoch."""
        return sum(row.answer_tokens for row in self.rows)


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


def encode(rows: Sequence[Row], tokenizer: Any, data: Data) -> Corpus:
    """Every row as tokens, with labels on the answers and the token that ends each of them.

    Raises DataError, with the row's number, where a template refuses a row, where a row is too long and
    `data.too_long` says error, and where nothing of a row would be learnt.
    """
    own = data.template == "auto" and bool(getattr(tokenizer, "chat_template", None))
    if tokenizer.eos_token_id is None:
        raise DataError(
            "The tokenizer of the base model has no end token, so no answer could be taught to end.",
            "Set `eos_token` in its tokenizer_config.json.",
        )
    done: List[Tokens] = []
    dropped: List[int] = []
    cut: List[int] = []
    last_only = 0
    for row in rows:
        ids, labels, whole = _templated(row, tokenizer) if own else (*_plain(row, tokenizer), True)
        last_only += not whole
        if len(ids) > data.max_length:
            if data.too_long == "error":
                raise DataError(
                    f"Row {row.number} is {len(ids)} tokens long, and `data.max_length` is {data.max_length}.",
                    "Raise `data.max_length`, or set `data.too_long` to `drop` (leave such rows out) or `cut` "
                    "(train on their beginning, without the end of the answer).",
                )
            if data.too_long == "drop":
                dropped.append(row.number)
                continue
            cut.append(row.number)
            ids, labels = ids[: data.max_length], labels[: data.max_length]
        if all(label == MASKED for label in labels[1:]):  # the first token is never predicted
            raise DataError(
                f"Nothing of row {row.number} would be learnt: its question alone fills {len(ids)} tokens.",
                "Raise `data.max_length`, or remove the row.",
            )
        done.append(Tokens(row.number, ids, labels))
    if not done:
        raise DataError(
            f"Every row is longer than `data.max_length` ({data.max_length}), so nothing is left to train on.",
            "Raise `data.max_length`.",
        )
    notes = []
    if dropped:
        notes.append(f"{_some(dropped)} longer than {data.max_length} tokens left out.")
    if cut:
        notes.append(
            f"{_some(cut)} cut to {data.max_length} tokens, so their answers are taught without end."
        )
    if last_only:
        notes.append(
            f"{last_only} rows are trained on their last answer only: the chat template rewrites earlier turns."
        )
    path = data_file(data)
    return Corpus(
        path=str(path),
        rows=tuple(done),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        encoded_sha256=_encoded_sha256(done),
        template="the tokenizer's own" if own else "plain",
        notes=tuple(notes),
    )


def _plain(row: Row, tokenizer: Any) -> Tuple[List[int], List[int]]:
    """Questions under a heading, answers up to the end token, each encoded apart so that no token spans both."""
    end = tokenizer.eos_token_id
    ids: List[int] = []
    labels: List[int] = []
    question: List[str] = []
    for message in row.messages:
        if message["role"] != "assistant":
            text = message["content"]
            question.append(PLAIN_QUESTION.format(text) if message["role"] == "user" else f"{text}\n\n")
            continue
        asked = tokenizer("".join(question), add_special_tokens=not ids)["input_ids"]
        if asked and asked[-1] == end:  # tokenizers with add_eos_token end the question too
            asked = asked[:-1]
        answer = [*tokenizer(message["content"], add_special_tokens=False)["input_ids"], end]
        ids += asked + answer
        labels += [MASKED] * len(asked) + answer
        question = ["\n\n"]
    return ids, labels


def _templated(row: Row, tokenizer: Any) -> Tuple[List[int], List[int], bool]:
    """The row in the tokenizer's own template, and whether every answer is labelled (else the last one is).

    A label begins with the first token that differs from the rendered question's own tokens, and ends with the
    template's end of turn, or, where it has none, with the end token, which is then added.
    """
    messages = list(row.messages)
    text = _render(tokenizer, messages, row.number)
    ids = _ids(tokenizer, text)
    labels = [MASKED] * len(ids)
    special = set(tokenizer.all_special_ids)
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    spans = []
    for place in answers:
        after = text if place == len(messages) - 1 else _render(tokenizer, messages[: place + 1], row.number)
        if not text.startswith(after):
            continue
        start = _common(_ids(tokenizer, text[: _question_end(tokenizer, messages, place, after, row)]), ids)
        stop = len(ids) if after is text else _common(_ids(tokenizer, after), ids)
        spans.append((start, stop))
    if len(spans) < len(answers):
        spans = spans[-1:]
    for start, stop in spans:
        ends = [place for place in range(start, stop) if ids[place] in special]
        stop = ends[-1] + 1 if ends else stop
        labels[start:stop] = ids[start:stop]
    if not any(token in special for token in ids[spans[-1][0] :]):
        ids, labels = [*ids, tokenizer.eos_token_id], [*labels, tokenizer.eos_token_id]
    return ids, labels, len(spans) == len(answers)


def _question_end(tokenizer: Any, messages: List[Message], place: int, after: str, row: Row) -> int:
    """The character at which the answer begins in the rendered text."""
    bare = _render(tokenizer, messages[:place], row.number)
    asked = _render(tokenizer, messages[:place], row.number, prompt=True)
    if asked == bare:  # a template without a generation prompt: the answer's heading is no part of the answer
        found = after.find(messages[place]["content"].strip(), _common(bare, after))
        if found >= 0:
            return found
    return _common(asked, after)


def _render(tokenizer: Any, messages: List[Message], number: int, prompt: bool = False) -> str:
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))
    except Exception as error:  # jinja2.TemplateError, and whatever a template's own code raises
        raise DataError(
            f"The chat template of the base model refuses row {number}: {error}.",
            "Change the row (some templates allow no system message), or set `data.template` to `plain`.",
        ) from None


def _ids(tokenizer: Any, text: str) -> List[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])  # the template wrote them


def _common(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many items (tokens, characters) two sequences share at their beginnings."""
    length = 0
    for one, other in zip(first, second):
        if one != other:
            break
        length += 1
    return length


def _some(numbers: List[int], shown: Optional[int] = 5) -> str:
    listed = ", ".join(map(str, numbers[:shown])) + (", ..." if len(numbers) > (shown or 0) else "")
    return f"{len(numbers)} {'row' if len(numbers) == 1 else 'rows'} ({listed})"


def _encoded_sha256(rows: Sequence[Tokens]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(array("q", [len(row.input_ids), *row.input_ids, *row.labels]).tobytes())
    return digest.hexdigest()
