"""Rows as tokens, with labels on the answers and on the token that ends each of them, and nowhere else."""

import hashlib
from array import array
from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

from envdoc.train.config import Data
from envdoc.train.data import Message, Row, data_file
from envdoc.train.errors import DataError

MASKED = -100  # torch's cross entropy passes over this label
PLAIN_QUESTION = "### Instruction:\n{}\n\n### Response:\n"
SHOWN_ROWS = 5


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


def _some(numbers: List[int]) -> str:
    listed = ", ".join(map(str, numbers[:SHOWN_ROWS])) + (", ..." if len(numbers) > SHOWN_ROWS else "")
    return f"{len(numbers)} {'row' if len(numbers) == 1 else 'rows'} ({listed})"


def _encoded_sha256(rows: Sequence[Tokens]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(array("q", [len(row.input_ids), *row.input_ids, *row.labels]).tobytes())
    return digest.hexdigest()
