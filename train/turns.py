"""One row as token ids, with labels on what is learnt of it: its answers and the token that ends each, by default."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from envdoc.train import compat
from envdoc.train.data import Message, Row
from envdoc.train.errors import DataError
from envdoc.train.tokenised import MASKED

PLAIN_QUESTION = "### Instruction:\n{}\n\n### Response:\n"  # assets/templates/plain.jinja says the same

Labelled = Tuple[List[int], List[int], bool]  # ids, labels, and whether all is learnt that was asked for


@dataclass(frozen=True)
class Tokens:
    """One row as token ids; `labels` has the same length and MASKED wherever nothing is learnt.

    Lists of plain numbers, or, where many rows are laid at once, arrays of int64 (token_store.py).
    """

    number: int
    input_ids: List[int]
    labels: List[int]

    @property
    def answer_tokens(self) -> int:
        """How many tokens carry a label."""
        return sum(label != MASKED for label in self.labels)


def plain(row: Row, tokenizer: Any, train_on: str) -> Labelled:
    """Questions under a heading, answers up to the end token, each encoded apart so that no token spans both."""
    end = tokenizer.eos_token_id
    ids: List[int] = []
    labels: List[int] = []
    question: List[str] = []
    last = len(row.messages) - 1
    for place, message in enumerate(row.messages):
        if message["role"] != "assistant":
            text = message["content"]
            question.append(PLAIN_QUESTION.format(text) if message["role"] == "user" else f"{text}\n\n")
            continue
        asked = tokenizer("".join(question), add_special_tokens=not ids)["input_ids"]
        if asked and asked[-1] == end:  # tokenizers with add_eos_token end the question too
            asked = asked[:-1]
        answer = [*tokenizer(message["content"], add_special_tokens=False)["input_ids"], end]
        ids += asked + answer
        labels += asked if train_on == "all" else [MASKED] * len(asked)
        labels += [MASKED] * len(answer) if train_on == "last" and place != last else answer
        question = ["\n\n"]
    return ids, labels, True


def templated(row: Row, tokenizer: Any, train_on: str, marks: Mapping[int, str]) -> Labelled:
    """The row in the tokenizer's chat template; False where earlier answers were to be learnt and cannot be.

    `marks` are the tokenizer's `end_marks`.
    A label begins with the first token that differs from the rendered question's own tokens, and ends with the
    template's end of turn, or, where it has none, with the end token, which is then added.
    """
    messages = list(row.messages)
    text = _render(tokenizer, messages, row.number)
    ids = _ids(tokenizer, text)
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if train_on != "answers":
        answers = answers[-1:]
    spans = []
    for place in answers:
        after = text if place == len(messages) - 1 else _render(tokenizer, messages[: place + 1], row.number)
        if not text.startswith(after):
            continue
        begin = _question_end(tokenizer, messages, place, after, row)
        start = _common(_ids(tokenizer, text[:begin]), ids)
        stop = len(ids) if after is text else _common(_ids(tokenizer, after), ids)
        said = _said(tokenizer, ids, after, begin, messages[place]["content"].strip(), marks)
        spans.append((start, stop, max(start, min(said, stop))))
    whole = len(spans) == len(answers)
    if not whole:
        spans = spans[-1:]
    labels = [MASKED] * len(ids)
    for start, stop, said in spans:
        ends = [place for place in range(said, stop) if ids[place] in marks]
        if ends:
            stop = ends[-1] + 1
        elif stop < len(ids) and ids[stop] in marks:
            stop += 1  # GLM's answers end with the mark of the next question
        labels[start:stop] = ids[start:stop]
    if train_on == "all":
        labels = list(ids)
    if not any(token in marks for token in ids[spans[-1][2] :]):
        ids, labels = [*ids, tokenizer.eos_token_id], [*labels, tokenizer.eos_token_id]
    return ids, labels, whole


def end_marks(tokenizer: Any) -> Dict[int, str]:
    """The tokens that may end a turn, id and text: the special ones, but for the two that stand for something else.

    Llama 3 and Phi 3 name only bos and eos as special; their ends of turn are added tokens with that flag.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})  # since transformers 4.34
    flagged = [place for place, mark in added.items() if getattr(mark, "special", False)]
    known = {*tokenizer.all_special_ids, *flagged} - {tokenizer.unk_token_id, tokenizer.pad_token_id}
    known.add(tokenizer.eos_token_id)
    return {place: str(tokenizer.convert_ids_to_tokens(place)) for place in sorted(known)}


def _question_end(tokenizer: Any, messages: List[Message], place: int, after: str, row: Row) -> int:
    """The character at which the answer begins in the rendered text."""
    bare = _render(tokenizer, messages[:place], row.number)
    asked = _render(tokenizer, messages[:place], row.number, prompt=True)
    if asked == bare:  # a template without a generation prompt: the answer's heading is no part of the answer
        begin = _common(bare, after)
        found = after.find(messages[place]["content"].strip(), begin)
        if (
            found >= 0 and after[begin:found].strip()
        ):  # a mere space, as behind Llama 2's [/INST], must be generated too
            return found
    return _common(asked, after)


def _said(
    tokenizer: Any, ids: List[int], after: str, begin: int, answer: str, marks: Mapping[int, str]
) -> int:
    """How many tokens reach to the end of the answer's text; 0 where the template changed the text.

    Only what follows may be its end token: an answer that itself holds a special token, as text about chat
    formats does, would be cut there.
    """
    found = after.find(answer, begin)
    if found < 0 or not any(mark in answer for mark in marks.values()):
        return 0
    return _common(_ids(tokenizer, after[: found + len(answer)]), ids)


def _render(tokenizer: Any, messages: List[Message], number: int, prompt: bool = False) -> str:
    try:
        return compat.render_chat(tokenizer, messages, prompt)
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
