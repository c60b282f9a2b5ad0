"""Which of the symbols that an extension needs from torch this torch does not have."""

import re
import struct
from pathlib import Path
from types import TracebackType
from typing import Iterable, List, Optional, Sequence, Tuple, Type

from envdoc.doctor.facts.elf import Elf, ElfError
from envdoc.doctor.facts.elf_symbols import Exports, gnu_hash

# torch's own libraries. Without the first two nothing can be said about what torch exports.
_REQUIRED = ("libc10.so", "libtorch_cpu.so")
FAMILY = re.compile(r"lib(c10|torch|shm)(_[a-z0-9_]+)?\.so")
# Names that belong to torch: its C++ namespaces, the Python bindings' THP..., and the C functions of its stable ABI.
_NAMESPACE = r"(?:3c10|2at|5torch|6caffe2)"
_OWN = re.compile(
    rf"_ZT[VIS]N?K?{_NAMESPACE}|_ZGVN?K?{_NAMESPACE}|_ZNK?{_NAMESPACE}|_Z\d+THP[A-Z]|THP[A-Z]|aoti_torch_|torch_[a-z]"
)
_READ_ERRORS = (OSError, ElfError, struct.error, IndexError)


def is_torchs(symbol: str) -> bool:
    """True for a symbol that only torch can provide."""
    return bool(_OWN.match(symbol))


class TorchSymbols:
    """torch's libraries, open for lookups. `readable` is False where torch is not whole: then nothing is missing."""

    def __init__(self, folder: str) -> None:
        self._open: List[Elf] = []
        self._exports: List[Exports] = []
        self.readable = False
        self.names = _family(Path(folder)) if folder else ()
        if all(name in self.names for name in _REQUIRED):
            try:
                self._exports = [self._read(Path(folder) / name) for name in self.names]
                self.readable = True
            except _READ_ERRORS:
                self._exports = []

    def __enter__(self) -> "TorchSymbols":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for elf in self._open:
            elf.__exit__(kind, error, trace)

    def missing(self, symbols: Iterable[str], siblings: Sequence[Path] = ()) -> Tuple[str, ...]:
        """torch's symbols among these that neither torch nor a library beside the extension exports.

        Raises OSError, ElfError, struct.error or IndexError where one of those cannot be read.
        """
        if not self.readable:
            return ()
        left = [(name, gnu_hash(name)) for name in symbols if is_torchs(name)]
        for exports in self._exports:
            if left:
                left = exports.missing(left)
        for path in siblings if left else ():
            with Elf(path) as elf:
                left = Exports(elf).missing(left)
        return tuple(name for name, _ in left)

    def _read(self, path: Path) -> Exports:
        elf = Elf(path)
        self._open.append(elf)
        return Exports(elf)


def _family(folder: Path) -> Tuple[str, ...]:
    """libc10 and libtorch_cpu first: most of what extensions need is theirs."""
    try:
        names = sorted(path.name for path in folder.iterdir() if FAMILY.fullmatch(path.name))
    except OSError:
        return ()
    names = [name for name in names if "test" not in name and name != "libtorch_global_deps.so"]
    return tuple(sorted(names, key=lambda name: name not in _REQUIRED))
