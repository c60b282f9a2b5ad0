"""What both formats of weights have in common: a file, its tensors, where each one's bytes lie, and what is wrong."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

from envdoc.doctor.files import open_file

BLOCK_BYTES = 1 << 22  # a multiple of every width

# Bytes of one number by its name in a safetensors header (safetensors, src/tensor.rs: Dtype). Formats of less than a
# byte are told in bits there; none of them is an adapter's.
WIDTHS = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "F8_E4M3FNUZ": 1,
    "F8_E5M2FNUZ": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
    "C64": 8,
}
BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file. `read` opens the file anew and gives its numbers in order, a block at a time."""

    name: str
    dtype: str  # "F32", "BF16" ...: as in a safetensors header
    shape: Tuple[int, ...]
    read: Callable[[], Iterator[bytes]] = field(repr=False, compare=False)

    @property
    def count(self) -> int:
        """How many numbers."""
        return product(self.shape)

    @property
    def bytes(self) -> int:
        """How many bytes they take."""
        return self.count * BITS[self.dtype] // 8 if self.dtype in BITS else self.count * WIDTHS[self.dtype]


@dataclass(frozen=True)
class Archive:
    """One file of weights. `problem` says why it cannot be read at all; `faults` what is wrong in what was read."""

    path: Path
    form: str  # "safetensors" or "pickle"
    bytes: int = 0
    tensors: Dict[str, Tensor] = field(default_factory=dict)
    metadata: Dict[str, str] = field(default_factory=dict)
    problem: str = ""
    faults: Tuple[str, ...] = ()
    foreign: Tuple[str, ...] = ()  # what a pickle would import that no tensor needs: `os.system`


def product(shape: Tuple[int, ...]) -> int:
    """The numbers in a tensor of that shape; 1 for a scalar."""
    total = 1
    for size in shape:
        total *= size
    return total


def read_range(path: Path, begin: int, length: int) -> Iterator[bytes]:
    """The bytes of a file from `begin` on, in blocks. Raises OSError; fewer bytes come where the file ends."""
    with open_file(path) as file:
        file.seek(begin)
        while length > 0:
            block = _exactly(file, min(length, BLOCK_BYTES))
            if not block:
                return
            yield block
            length -= len(block)


def pointer(path: Path) -> bool:
    """True for the text that Git LFS leaves in place of a file that was not fetched, or an error page of a server."""
    try:
        with open_file(path) as file:
            return file.read(40).startswith(b"version https://git-lfs.github.com/spec/")
    except OSError:
        return False


def _exactly(file: "object", length: int) -> bytes:
    """`length` bytes, or as many as there are: an unbuffered read may give fewer."""
    blocks: List[bytes] = []
    while length > 0:
        block: bytes = file.read(length)  # type: ignore[attr-defined]
        if not block:
            break
        blocks.append(block)
        length -= len(block)
    return b"".join(blocks)
