"""The tokenizer.model of SentencePiece, read from its protobuf wire format: pieces, their kinds, and the special ids.

Field numbers are those of google/sentencepiece, src/sentencepiece_model.proto: ModelProto.pieces = 1 and .trainer_spec
= 2; SentencePiece.piece = 1 and .type = 3; TrainerSpec.model_type = 3, .byte_fallback = 35, .unk_id to .pad_id = 40 to
43. Ids that are left out have the defaults 0, 1, 2 and -1.
"""

from dataclasses import dataclass
from typing import Dict, Iterator, Tuple, Union

UNKNOWN, CONTROL, USER_DEFINED, BYTE = 2, 3, 4, 6
KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_IDS = {40: "unk", 41: "bos", 42: "eos", 43: "pad"}
_DEFAULT_IDS = {"unk": 0, "bos": 1, "eos": 2, "pad": -1}


@dataclass(frozen=True)
class SentencePieceModel:
    """A vocabulary. `specials` are (name, id, piece) of unk, bos, eos and pad as far as the model has them."""

    pieces: Tuple[str, ...]
    kinds: Tuple[int, ...]  # of each piece: 1 is an ordinary one
    specials: Tuple[Tuple[str, int, str], ...]
    algorithm: str = ""  # "bpe" or "unigram"
    byte_fallback: bool = False

    def id_of(self, piece: str) -> int:
        """The id of that piece; -1 where there is none."""
        return self.pieces.index(piece) if piece in self.pieces else -1

    def special(self, name: str) -> Tuple[int, str]:
        """(id, piece) of "bos", "eos", "unk" or "pad"; (-1, "") where the model has none."""
        return next(((number, piece) for key, number, piece in self.specials if key == name), (-1, ""))


def parse(data: bytes) -> SentencePieceModel:
    """The model in those bytes. Raises ValueError where they are none."""
    pieces, kinds = [], []
    trainer: Dict[int, Union[int, bytes]] = {}
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            inner = dict(_fields(value))
            text = inner.get(1, b"")
            pieces.append(text.decode("utf-8", "replace") if isinstance(text, bytes) else "")
            kind = inner.get(3, 1)
            kinds.append(kind if isinstance(kind, int) else 1)
        elif number == 2 and isinstance(value, bytes):
            trainer = dict(_fields(value))
    if not pieces:
        raise ValueError("there is no piece in it")
    ids = dict(_DEFAULT_IDS)
    for number, name in _IDS.items():
        told = trainer.get(number)
        if isinstance(told, int):
            ids[name] = _signed(told)
    ids = {name: _checked(name, i, pieces, kinds) for name, i in ids.items()}
    specials = tuple((name, i, pieces[i]) for name, i in ids.items() if 0 <= i < len(pieces))
    algorithm = trainer.get(3, 1)
    return SentencePieceModel(
        tuple(pieces),
        tuple(kinds),
        specials,
        KINDS.get(algorithm, "") if isinstance(algorithm, int) else "",
        trainer.get(35) == 1,
    )


def _checked(name: str, number: int, pieces: "list[str]", kinds: "list[int]") -> int:
    """The id, or -1 where no special piece stands there."""
    wanted = UNKNOWN if name == "unk" else CONTROL
    if not 0 <= number < len(pieces):
        return -1
    return number if kinds[number] in (wanted, USER_DEFINED) else -1


def _signed(value: int) -> int:
    """An int32 is written as a varint of 64 bit in two's complement."""
    return value - (1 << 64) if value >> 63 else value


def _fields(data: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    """(number, value) of each field: an int of a varint, bytes of anything else. Raises ValueError."""
    place, end = 0, len(data)
    while place < end:
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value: Union[int, bytes]
            value, place = _varint(data, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
            value, place = data[place : place + length], place + length
        elif wire == 2:
            length, place = _varint(data, place)
            value, place = data[place : place + length], place + length
        else:
            raise ValueError(f"it is no protobuf: wire type {wire} at byte {place}")
        if number == 0 or place > end:
            raise ValueError("it ends in the middle of a field" if number else "it is no protobuf")
        yield number, value


def _varint(data: bytes, place: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("it ends in the middle of a number")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
