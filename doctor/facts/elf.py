"""A reader for the section table of 64-bit little-endian ELF files; it touches headers, not contents.

Layout after the System V ABI, "ELF-64 Object File Format", version 1.5: the file header holds the offset of the
section table at 0x28, and its entry size, its length and the index of its string table at 0x3A.
"""

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import List, NamedTuple, Optional, Type

from envdoc.doctor.files import open_file, read_bytes

_FILE_HEADER_BYTES = 64
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_MACHINES = {"x86_64": 62, "aarch64": 183, "ppc64le": 21, "s390x": 22, "riscv64": 243}
_NOBITS = 8  # SHT_NOBITS: a section such as .bss that takes no room in the file


class ElfError(Exception):
    """The file is no ELF file that can be read, or is shorter than its own headers say."""


class Section(NamedTuple):
    """Where a section lies in the file."""

    name: str
    offset: int
    size_bytes: int


class Elf:
    """An open ELF file: its sections by name, and positioned reads.

    Raises OSError where the file cannot be opened, and ElfError where it is no ELF file or is truncated.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_file(path)
        try:
            self.size_bytes = os.fstat(self._file.fileno()).st_size
            self.sections = self._read_sections(path.name)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Elf":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._file.close()

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Exactly `size_bytes` from `offset`. Raises ElfError where the file ends before."""
        if not 0 <= offset <= offset + size_bytes <= self.size_bytes:  # else a hostile size takes all memory
            raise ElfError(f"it ends at byte {self.size_bytes:,}, before something that starts at {offset:,}")
        data = os.pread(self._file.fileno(), size_bytes, offset)
        if len(data) != size_bytes:
            raise ElfError(f"it ends at byte {self.size_bytes:,}, inside something that starts at {offset:,}")
        return data

    def named(self, name: str) -> List[Section]:
        """Every section of that name (there can be several)."""
        return [section for section in self.sections if section.name == name]

    def _read_sections(self, name: str) -> List[Section]:
        if self.size_bytes == 0:
            raise ElfError(f"{name} is empty")
        header = os.pread(self._file.fileno(), _FILE_HEADER_BYTES, 0)
        if header[:4] != b"\x7fELF":
            raise ElfError(f"{name} is no ELF file")
        if len(header) < _FILE_HEADER_BYTES or header[4:6] != b"\x02\x01":
            raise ElfError(f"{name} is no 64-bit little-endian ELF file")
        (table,) = struct.unpack_from("<Q", header, 0x28)
        entry, count, names = struct.unpack_from("<HHH", header, 0x3A)
        if not table or not count:
            return []
        if table + entry * count > self.size_bytes:
            raise ElfError(
                f"{name} is truncated: it has {self.size_bytes:,} bytes, and its header says that it goes on "
                f"to byte {table + entry * count:,}"
            )
        raw = self.read(table, entry * count)
        rows = [_SECTION_HEADER.unpack_from(raw, i * entry) for i in range(count)]
        strings = self.read(rows[names][4], rows[names][5])
        return [
            Section(_string(strings, row[0]), row[4], row[5]) for row in rows if row[1] != _NOBITS and row[5]
        ]


def _string(table: bytes, start: int) -> str:
    return table[start : table.find(b"\0", start)].decode("utf-8", "replace")


def problem_of(path: Path) -> str:
    """Why the library at `path` cannot be whole, as a clause without a full stop; empty where nothing is seen."""
    try:
        with Elf(path):
            return ""
    except FileNotFoundError:
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    except (ElfError, struct.error, IndexError) as error:
        return str(error) or f"{path.name} has a damaged section table"


def is_for_another_machine(path: Path) -> bool:
    """Whether the ELF file is for another processor than this one (e_machine, at 0x12 of its header)."""
    own = _MACHINES.get(os.uname().machine)
    try:
        header = read_bytes(path, 20)
    except OSError:
        return False
    return own is not None and len(header) == 20 and int.from_bytes(header[18:], "little") != own
