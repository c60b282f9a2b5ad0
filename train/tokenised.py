"""Rows that were tokenised elsewhere, as the recipes of 2023 keep them with `save_to_disk`: ids, and what is learnt.

    input_ids                        all of it is learnt
    labels                           -100 is not learnt, and the row's own id, at the same place, is
    seq_len                          ChatGLM-Tuning's rows: so many ids are the question, and the rest is learnt
    completion_mask, assistant_masks TRL's rows: 1 is learnt
    attention_mask, else length      what is padding: it is cut off, and never told by its id

Pure functions of what a reader yields. What needs the tokenizer (is each id in its vocabulary?) is `Own`.
"""

from array import array
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Tuple

from envdoc.train.config import Data
from envdoc.train.errors import ConfigError, DataError

if TYPE_CHECKING:
    from envdoc.train.data import Row

SHAPE = "tokens"  # of a row, as `messages` is
IDS = "input_ids"
LEARNT_MASKS = ("completion_mask", "assistant_masks")
MASKED = -100  # torch's cross entropy passes over this label
ASSUMED = (
    "The rows hold token ids: that this tokenizer made them is assumed, for no row says which one did; that each id "
    "is in its vocabulary was checked, and the preview shows what the ids say."
)


class Encoded(NamedTuple):
    """A row as ids, padding cut off; `learnt` has a byte for each, 1 where the id is its own label."""

    ids: "array[int]"
    learnt: bytes

    @property
    def answers(self) -> int:
        """How many stretches are learnt."""
        before = b"\0" + self.learnt
        return sum(1 for was, learnt in zip(before, self.learnt) if learnt and not was)

    @property
    def end(self) -> int:
        """The last id that is learnt: what the model is taught to stop with."""
        return self.ids[self.learnt.rindex(1)]


class Own:
    """Ids and labels of such a row, once a tokenizer is known that they have to fit."""

    def __init__(self, tokenizer: Any) -> None:
        from envdoc.train import glm

        # `len` counts what was added too, but for tokenizers of a model's own code, whose marks lie above it.
        self.size = max([len(tokenizer), *(1 + mark for mark in tokenizer.all_special_ids)])
        self.begin = tokenizer.bos_token_id if glm.speaks(tokenizer) else None  # <sop>

    def __call__(self, row: "Row") -> Tuple[List[int], List[int], bool]:
        """Ids, labels, and True, as every way of encoding a row has it. Raises DataError with the row's number."""
        assert row.tokens is not None
        ids, learnt = row.tokens
        if max(ids) >= self.size:
            raise DataError(
                f"Row {row.number} holds the token id {max(ids)}, and the vocabulary of the base model ends at "
                f"{self.size - 1}.",
                "Another tokenizer made these rows: tokenise them anew, or give envdoc the text.",
            )
        if self.begin is not None and ids.count(self.begin) != 1:
            raise DataError(
                f"Row {row.number} holds the token {self.begin} (<sop>) {ids.count(self.begin)} times, and this model "
                "counts its mask and its positions from a single one.",
                "Write each row as question, [gMASK], <sop>, answer, <eop>.",
            )
        return list(ids), [label if one else MASKED for label, one in zip(ids, learnt)], True


def check(data: Data) -> None:
    """Raises ConfigError where the run asks for what was settled when the rows were tokenised."""
    for key, value, default in (
        ("data.template", data.template, "auto"),
        ("data.train_on", data.train_on, "answers"),
    ):
        if value != default:
            raise ConfigError(
                f"`{key}` is {value}, and the rows of `{data.path}` are tokenised already (`{IDS}`): what is written "
                "around an answer, and what of a row is learnt, was settled then.",
                f"Leave `{key}` out, or give envdoc the rows as text.",
            )


def tokens_of(content: Any, where: str) -> Encoded:
    """The ids of a row and what is learnt of them. `where` begins each sentence. Raises DataError."""
    if not isinstance(content, dict) or IDS not in content:
        raise DataError(f"{where} has no `{IDS}`, which the first row has.")
    ids = _numbers(content, IDS, where)
    if ids and min(ids) < 0:
        raise DataError(f"{where} holds the token id {min(ids)}; no vocabulary has negative ones.")
    start, stop = _kept(content, ids, where)
    if start == stop:
        raise DataError(f"{where} holds no token.", "Remove the row.")
    made = Encoded(ids[start:stop], _learnt(content, ids, where)[start:stop])
    if not any(made.learnt[1:]):  # the first token is never predicted
        raise DataError(f"{where} teaches nothing: {_why_nothing(content)}.", "Remove the row.")
    return made


def _learnt(content: Dict[str, Any], ids: "array[int]", where: str) -> bytes:
    if "labels" in content:
        labels = _as_long(content, "labels", ids, where)
        for place, (label, token) in enumerate(zip(labels, ids)):
            if label not in (token, MASKED):
                raise DataError(
                    f"{where} has the label {label} where the id is {token} (place {place}, from 0): a label is "
                    f"{MASKED} or the id at its own place.",
                    "Save labels that are not shifted; the model shifts them itself.",
                )
        return bytes(label != MASKED for label in labels)
    for key in LEARNT_MASKS:
        if key in content:
            return _mask(content, key, ids, where)
    if "seq_len" in content:
        asked = _count(content, "seq_len", ids, where)
        return bytes(asked) + b"\1" * (len(ids) - asked)
    return b"\1" * len(ids)


def _kept(content: Dict[str, Any], ids: "array[int]", where: str) -> Tuple[int, int]:
    """Where the row begins and ends within its padding."""
    if "attention_mask" in content:
        mask = _mask(content, "attention_mask", ids, where)
        start, stop = max(0, mask.find(1)), mask.rfind(1) + 1
        if 0 in mask[start:stop]:
            raise DataError(
                f"{where} has a gap in its `attention_mask`, and padding lies before a row or behind it.",
                "Save the rows one by one, before they are packed; `data.packing=true` packs them.",
            )
        return start, stop
    return 0, _count(content, "length", ids, where) if "length" in content else len(ids)


def _mask(content: Dict[str, Any], key: str, ids: "array[int]", where: str) -> bytes:
    mask = _as_long(content, key, ids, where)
    if not set(mask) <= {0, 1}:
        strange = next(value for value in mask if value not in (0, 1))
        raise DataError(
            f"{where} holds {strange} in `{key}`, which is 1 or 0.",
            "Where it numbers packed rows: save them one by one; `data.packing=true` packs them.",
        )
    return bytes(mask.tolist())  # bytes of an array would be its memory


def _as_long(content: Dict[str, Any], key: str, ids: "array[int]", where: str) -> "array[int]":
    values = _numbers(content, key, where)
    if len(values) != len(ids):
        raise DataError(f"{where} has {len(ids)} ids in `{IDS}` and {len(values)} values in `{key}`.")
    return values


def _numbers(content: Dict[str, Any], key: str, where: str) -> "array[int]":
    """The list as 4 bytes a number: as Python's own integers a large set would take nine times the memory."""
    listed = content[key]
    if isinstance(listed, str):  # a table's cell
        from envdoc.train.shapes import from_cell

        listed = from_cell(listed, key, where)
    try:
        if isinstance(listed, list):
            return array("i", listed)
    except (TypeError, OverflowError):  # texts, fractions, null, lists of lists
        pass
    hint = "Tensors with a dimension for the batch are saved as lists of lists: save the inner one."
    raise DataError(f"{where} has no list of whole numbers in `{key}`.", hint)


def _count(content: Dict[str, Any], key: str, ids: "array[int]", where: str) -> int:
    """A number of ids, or the list of one that fast tokenizers return."""
    value = content[key]
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(value, int) or not 0 <= value <= len(ids):
        what = "the ids of the question" if key == "seq_len" else "the ids that are no padding"
        raise DataError(
            f"{where} has {len(ids)} ids, and its `{key}`, which counts {what}, is {value}.",
            f"Remove the column `{key}` where it means something else.",
        )
    return value


def _why_nothing(content: Dict[str, Any]) -> str:
    if "labels" in content:
        return f"every label is {MASKED}"
    for key in LEARNT_MASKS:
        if key in content:
            return f"its `{key}` is 0 throughout"
    if "seq_len" in content:
        return "by its `seq_len` the question fills it (ChatGLM-Tuning counts the question alone there)"
    return "a single token follows no other"
