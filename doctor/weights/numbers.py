"""The numbers of a tensor without numpy: are all zero, are any not finite, how far are two apart.

Whole blocks are compared as bytes and as long integers, which Python does at the speed of memory; only a difference is
counted number by number.
"""

import math
import operator
import struct
import sys
from array import array
from dataclasses import dataclass
from itertools import chain
from typing import Dict, Iterator, Sequence, Tuple

from envdoc.doctor.weights.archive import WIDTHS, Tensor

SIGNED = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
# Of each format the bytes that make a number infinite or NaN: (place counted from the number's end, mask, value); all
# of them must fit. IEEE 754: every bit of the exponent is set. F8_E4M3 has no infinity, and NaN with all bits set.
_NOT_FINITE: Dict[str, Tuple[Tuple[int, int], ...]] = {
    "F64": ((1, 0x7F), (2, 0xF0)),
    "F32": ((1, 0x7F), (2, 0x80)),
    "BF16": ((1, 0x7F), (2, 0x80)),
    "F16": ((1, 0x7C),),
    "F8_E5M2": ((1, 0x7C),),
    "F8_E4M3": ((1, 0x7F),),
}
_TABLES = {
    mask: bytes(1 if byte & mask == mask else 0 for byte in range(256)) for mask in (0x7F, 0xF0, 0x80, 0x7C)
}


@dataclass(frozen=True)
class Seen:
    """What the numbers of one tensor are."""

    count: int = 0
    not_finite: int = 0
    is_zero: bool = True  # every number is 0 or -0


def look(tensor: Tensor) -> Seen:
    """Every number of the tensor. Raises OSError where the file cannot be read."""
    width = WIDTHS.get(tensor.dtype, 1)
    count = broken = 0
    is_zero = True
    for block in aligned(tensor.read(), width):
        count += len(block) // width
        broken += not_finite(block, tensor.dtype)
        is_zero = is_zero and zero(block, tensor.dtype)
    return Seen(count, broken, is_zero)


def zero(block: bytes, dtype: str) -> bool:
    """Whether every number is 0; a sign alone makes none."""
    if dtype not in SIGNED or not any(block[:64]):
        if not block.strip(b"\0"):
            return True
        if dtype not in SIGNED:
            return False
    width = WIDTHS[dtype]
    signs = block[width - 1 :: width].translate(_UNSIGNED)
    if signs.strip(b"\0"):
        return False
    return all(not block[place::width].strip(b"\0") for place in range(width - 1))


_UNSIGNED = bytes(byte & 0x7F for byte in range(256))


def not_finite(block: bytes, dtype: str) -> int:
    """How many numbers are infinite or NaN; 0 for integers."""
    width = WIDTHS.get(dtype, 1)
    together = None
    for place, mask in _NOT_FINITE.get(dtype, ()):
        marks = int.from_bytes(block[width - place :: width].translate(_TABLES[mask]), "little")
        together = marks if together is None else together & marks
    return bin(together).count("1") if together else 0


@dataclass(frozen=True)
class Apart:
    """How far two tensors are from each other: Euclidean norms, and the largest difference of two numbers."""

    norm: float  # of the difference
    of_first: float
    largest: float
    first_at: int = 0  # the place of the largest


def apart(one: Tensor, other: Tensor) -> Apart:
    """The difference of two tensors of one shape, in double precision. Raises OSError, ValueError on other dtypes.

    0.2 s for a million numbers that differ; what is equal byte by byte costs nothing.
    """
    difference = own = largest = 0.0
    for mine, yours in zip(floats(one), floats(other)):
        if mine is yours or mine == yours:
            own += sum(map(operator.mul, mine, mine))
            continue
        steps = list(map(operator.sub, mine, yours))
        difference += sum(map(operator.mul, steps, steps))
        own += sum(map(operator.mul, mine, mine))
        worst = max(chain(map(abs, steps), (0.0,)))
        largest = max(largest, worst) if not any(map(math.isnan, steps)) else math.nan
    return Apart(math.sqrt(difference), math.sqrt(own), largest)


BLOCK_NUMBERS = 1 << 18


def floats(tensor: Tensor) -> Iterator[Sequence[float]]:
    """The numbers as Python sequences of BLOCK_NUMBERS each, the last one shorter. Raises ValueError on a dtype."""
    if tensor.dtype not in ("F64", "F32", "F16", "BF16"):
        raise ValueError(f"{tensor.dtype} numbers are not compared")
    width = WIDTHS[tensor.dtype]
    for block in _cut(tensor.read(), BLOCK_NUMBERS * width):
        yield _floats(block, tensor.dtype)


def _floats(block: bytes, dtype: str) -> Sequence[float]:
    if dtype == "F16":
        return struct.unpack(f"<{len(block) // 2}e", block)
    if dtype == "BF16":  # the upper half of a float32
        wide = bytearray(2 * len(block))
        wide[2::4], wide[3::4] = block[0::2], block[1::2]
        block = bytes(wide)
    numbers = array("d" if dtype == "F64" else "f")
    numbers.frombytes(block)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def aligned(blocks: Iterator[bytes], width: int) -> Iterator[bytes]:
    """The same bytes in blocks that hold whole numbers; a rest that is none is dropped."""
    rest = b""
    for block in blocks:
        block = rest + block
        cut = len(block) - len(block) % width
        rest = block[cut:]
        if cut:
            yield block[:cut]


def _cut(blocks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The same bytes in blocks of exactly `length`, and the rest."""
    rest = b""
    for block in blocks:
        rest += block
        while len(rest) >= length:
            yield rest[:length]
            rest = rest[length:]
    if rest:
        yield rest
