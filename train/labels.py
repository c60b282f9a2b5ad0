"""All rows as tokens: what is too long, cut or not to be learnt is refused or told; the rest goes into the token store.

`turns.py` encodes a row, `templates.py` has the chat templates, `encoders.py` the processes, `token_store.py` the disk.
"""

import copy
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Collection, Dict, FrozenSet, List, Sequence, Tuple, Union

from envdoc.train import compat, encoders, glm, templates, tokenised, turns
from envdoc.train.config import Data
from envdoc.train.data import Row, data_file, data_sha256, made_elsewhere
from envdoc.train.errors import DataError
from envdoc.train.fingerprint import WEIGHTS
from envdoc.train.token_store import Fingerprint, StoredRows, building, find
from envdoc.train.turns import MASKED, Labelled, Tokens

SHOWN_ROWS = 5
FEW_LEARNT = 0.05  # below, most of the computing is spent on text that nothing is learnt from
SHAPED_BY = (
    "turns.py",
    "labels.py",
    "encoders.py",
    "glm.py",
    "tokenised.py",
)  # the code that a stored row depends on


@dataclass(frozen=True)
class Way:
    """How a row becomes tokens: the template's name, what is to be said of it, and the function that does it."""

    template: str  # "the tokenizer's own", "plain", "chatml"...
    label: Callable[[Row], Labelled]
    notes: Tuple[str, ...] = ()
    chat_template: Any = None  # its text
    ends: FrozenSet[int] = frozenset()  # tokens that may end a turn

    def tokens(self, row: Row) -> Tokens:
        """The row at its full length."""
        ids, labels, _ = self.label(row)
        return Tokens(row.number, ids, labels)


@dataclass(frozen=True)
class Corpus:
    """Everything that is trained on, and the hashes by which it is known again."""

    path: str
    rows: Sequence[Tokens]  # read from the store where they are asked for: they need not fit into memory
    sha256: str  # of the file's bytes
    encoded_sha256: str  # of every id and label: also changes with the tokenizer, the template and the length
    template: str  # "the tokenizer's own", "plain"
    notes: Tuple[str, ...] = ()  # what was left out or cut, in sentences
    lengths: Sequence[int] = ()  # tokens of each row
    tokens: int = 0  # of one epoch, padding not counted
    answer_tokens: int = 0  # labelled tokens of one epoch
    chat_template: Any = None  # the text of the template: what whoever chats with the adapter must use, too
    ends: Tuple[int, ...] = ()  # the tokens that answers end with, at which generation has to stop
    stored: bool = False  # encoded by an earlier run, and only read by this one


def choose(tokenizer: Any, data: Data, tokens: bool = False) -> Way:
    """The way that `data.template` and `data.train_on` name; the tokenizer itself stays as it is.

    `tokens` says that the rows hold token ids already. Raises DataError where the tokenizer lacks what it needs.
    """
    if tokenizer.eos_token_id is None:
        raise DataError(
            "The tokenizer of the base model has no end token, so no answer could be taught to end.",
            "Set `eos_token` in its tokenizer_config.json.",
        )
    if tokens:
        return Way("none, the rows hold token ids", tokenised.Own(tokenizer), (tokenised.ASSUMED,))
    if data.template == "auto" and glm.speaks(tokenizer):
        return Way(glm.NAME, partial(glm.encode, tokenizer=tokenizer))
    chosen = templates.settle(tokenizer, data.template)
    dressed = copy.copy(tokenizer)
    dressed.chat_template = chosen.text
    marks = turns.end_marks(dressed)
    if chosen.name == "plain":
        label = partial(turns.plain, tokenizer=dressed, train_on=data.train_on)
    else:
        label = partial(turns.templated, tokenizer=dressed, train_on=data.train_on, marks=marks)
    return Way(chosen.name, label, chosen.notes, chosen.text, frozenset(marks))


def encode(rows: Collection[Row], tokenizer: Any, data: Data, workers: Union[int, str] = "auto") -> Corpus:
    """Every row as tokens, with labels on the answers and the token that ends each of them.

    The rows are gone through twice, to know them and to encode them, and neither time kept; what comes out depends
    on neither the store nor the number of processes (`workers`; auto lets `encoders` choose).

    Raises DataError, with the row's number, where a template refuses a row, where a row is too long and
    `data.too_long` says error, and where nothing of a row would be learnt.
    """
    way = choose(tokenizer, data, made_elsewhere(rows))
    key = _fingerprint(rows, tokenizer, way, data)
    stored = find(key)
    if stored is None:
        with building(key) as writer:
            told = encoders.Told()
            for part in encoders.parts(rows, partial(encode_part, way=way, data=data), workers):
                writer.add(part.numbers, part.lengths, part.ids, part.learnt)
                told.add(part)
            if not writer.rows:
                raise DataError(
                    f"Every row is longer than `data.max_length` ({data.max_length}), so nothing is left to train on.",
                    "Raise `data.max_length`.",
                )
            notes = _notes(told, writer.tokens, writer.answer_tokens, tokenizer, data)
            made = writer.finish({"notes": notes, "ends": sorted(told.ends)})
    kept: StoredRows = made if stored is None else stored
    return Corpus(
        path=str(data_file(data)),
        rows=kept,
        sha256=data_sha256(data),
        encoded_sha256=kept.about["encoded_sha256"],
        template=way.template,
        notes=(*way.notes, *kept.about["notes"]),
        lengths=kept.lengths,
        tokens=int(kept.about["tokens"]),
        answer_tokens=int(kept.about["answer_tokens"]),
        chat_template=way.chat_template,
        ends=tuple(kept.about["ends"]),
        stored=stored is not None,
    )


def encode_part(rows: Sequence[Row], way: Way, data: Data) -> encoders.Part:
    """Some rows, one after another: the work of one process."""
    part = encoders.PartMaker()
    for row in rows:
        ids, labels, whole = way.label(row)
        cut = len(ids) > data.max_length
        if cut and data.too_long == "error":
            raise DataError(
                f"Row {row.number} is {len(ids)} tokens long, and `data.max_length` is {data.max_length}.",
                "Raise `data.max_length`, or set `data.too_long` to `drop` (leave such rows out) or `cut` "
                "(train on their beginning, without the end of the answer).",
            )
        if cut and data.too_long == "drop":
            part.dropped.append(row.number)
            continue
        ids, labels = ids[: data.max_length], labels[: data.max_length]
        learnt = [label for label in labels[1:] if label != MASKED]  # the first token is never predicted
        if way.ends.issuperset(learnt):  # nothing, or an end without an answer
            raise _nothing_learnt(row, len(ids), cut)
        if cut:
            part.cut.append(row.number)
        else:
            part.ends[learnt[-1]] += 1
        part.last_only += not whole
        part.add(row.number, ids, labels)
    return part.made()


def _nothing_learnt(row: Row, length: int, cut: bool) -> DataError:
    if cut:
        return DataError(
            f"Nothing of row {row.number} would be learnt: its question alone fills {length} tokens.",
            "Raise `data.max_length`, or remove the row.",
        )
    return DataError(
        f"Nothing of row {row.number} would be learnt: the chat template leaves none of its answer in the text.",
        "Change the row, or set `data.template` to another.",
    )


def _notes(told: encoders.Told, tokens: int, learnt: int, tokenizer: Any, data: Data) -> List[str]:
    notes = []
    if told.dropped:
        notes.append(f"{_some(told.dropped)} longer than {data.max_length} tokens left out.")
    if told.cut:
        notes.append(
            f"{_some(told.cut)} cut to {data.max_length} tokens: such an answer is taught without its end."
        )
    if told.last_only:
        notes.append(
            f"{told.last_only} rows are trained on their last answer only: the chat template rewrites earlier turns."
        )
    if learnt < FEW_LEARNT * tokens:
        notes.append(
            f"Only {100 * learnt / tokens:.1f}% of the tokens are learnt: most of the work goes into reading questions."
        )
    stops = stop_ids(tokenizer)
    strange = {end: count for end, count in told.ends.items() if end not in stops}
    if strange:
        shown = ", ".join(repr(tokenizer.decode([end])) for end in list(strange)[:3])
        theirs = ", ".join(repr(tokenizer.decode([end])) for end in stops)
        notes.append(
            f"The answers of {_rows(sum(strange.values()))} end with {shown}, and generation with this model stops at "
            f"{theirs}: whatever generates with the adapter must be told to stop at {shown} too."
        )
    return notes


def stop_ids(tokenizer: Any) -> List[int]:
    """The tokens at which generation with this model ends: the tokenizer's, and those of its generation_config."""
    stops = {int(tokenizer.eos_token_id)}
    try:
        path = Path(str(tokenizer.name_or_path)) / "generation_config.json"
        listed = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
        stops |= {int(end) for end in (listed if isinstance(listed, list) else [listed])}
    except (OSError, ValueError, TypeError, AttributeError):
        pass  # no such file, or none that says it
    return sorted(stops)


def _fingerprint(rows: Collection[Row], tokenizer: Any, way: Way, data: Data) -> str:
    """The hash of everything that shapes the stored rows."""
    here = Path(__file__).parent
    print_ = Fingerprint()
    print_.add("code", *[(here / name).read_bytes() for name in SHAPED_BY if (here / name).is_file()])
    print_.add(
        "libraries",
        *[str(compat.version_of(name)) for name in ("transformers", "tokenizers", "sentencepiece")],
    )
    print_.add("settings", way.template, data.max_length, data.train_on, data.too_long)
    print_.add("template", str(way.chat_template))
    print_.add("stops", *stop_ids(tokenizer))
    for name, content in tokenizer_identity(tokenizer).items():
        print_.add(name, content)
    for row in rows:
        print_.add("row", row.number, row.content)
    return print_.hexdigest()


def tokenizer_identity(tokenizer: Any) -> Dict[str, Any]:
    """What a tokenizer turns text into tokens by, read off the object itself, for it may have been changed since."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    identity: Dict[str, Any] = {
        "class": type(tokenizer).__qualname__,
        "special": json.dumps(
            {name: str(mark) for name, mark in sorted(tokenizer.special_tokens_map.items())}
        ),
        "begins and ends with": json.dumps(tokenizer("x")["input_ids"]),
    }
    if inner is not None and hasattr(inner, "to_str"):
        return {**identity, "fast": inner.to_str()}
    folder = Path(str(tokenizer.name_or_path))
    files = sorted(path for path in folder.glob("*") if path.is_file() and path.suffix not in WEIGHTS)
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()))
    return {**identity, "vocabulary": vocabulary, **{path.name: path.read_bytes() for path in files}}


def _some(numbers: List[int]) -> str:
    listed = ", ".join(map(str, numbers[:SHOWN_ROWS])) + (", ..." if len(numbers) > SHOWN_ROWS else "")
    return f"{_rows(len(numbers))} ({listed})"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
