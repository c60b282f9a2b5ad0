"""What a library asks of the loader: its own name, the libraries it needs, and where it has them looked for.

Read as the loader reads it, through the program headers and the dynamic section, so that a library whose sections
were stripped is described too. Layout after the System V ABI, "Program Loading and Dynamic Linking"; symbol versions
after the Linux Standard Base, "Symbol Versioning". All of it is read with pread: a mapped file that another process
cuts short would kill the doctor with SIGBUS.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

from envdoc.doctor.facts.elf import Elf, ElfError

# Tags of the dynamic section that are read here and in elf_symbols.py.
NEEDED, HASH, STRTAB, SYMTAB, STRSZ, SONAME, RPATH, RUNPATH = 1, 4, 5, 6, 10, 14, 15, 29
GNU_HASH, VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM = (
    0x6FFFFEF5,
    0x6FFFFFFC,
    0x6FFFFFFD,
    0x6FFFFFFE,
    0x6FFFFFFF,
)

_PT_LOAD, _PT_DYNAMIC = 1, 2
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_NAME_LIMIT_BYTES = 1 << 14  # the longest mangled names of torch have some 4,000 characters
_TABLE_LIMIT = 1 << 14  # entries; libtorch_cuda.so has 40 dynamic entries
_VERNEED, _VERNAUX = struct.Struct("<HHIII"), struct.Struct("<IHHII")
_VERDEF, _VERDAUX = struct.Struct("<HHHHIII"), struct.Struct("<II")


@dataclass(frozen=True)
class Dynamic:
    """The dynamic section of a library; everything is empty for one that is linked statically.

    RPATH and RUNPATH are split at colons and not expanded: "$ORIGIN/../../nvidia/cublas/lib". Where a library has
    both, the loader passes its RPATH over.
    """

    soname: str = ""
    needed: Tuple[str, ...] = ()  # in the order in which the loader takes them
    rpath: Tuple[str, ...] = ()
    runpath: Tuple[str, ...] = ()


class DynamicSection:
    """The tags of the dynamic section, with addresses turned into places in the file.

    Raises ElfError, struct.error or IndexError where the file is damaged.
    """

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        self.values: Dict[int, List[int]] = {}
        self._loads: List[Tuple[int, int, int]] = []  # address, offset, bytes in the file
        where = (0, 0)
        for kind, _flags, offset, address, _physical, file_bytes, _memory, _align in self._program_headers():
            if kind == _PT_LOAD:
                self._loads.append((address, offset, file_bytes))
            elif kind == _PT_DYNAMIC:
                where = (offset, file_bytes)
        raw = elf.read(where[0], min(where[1], _TABLE_LIMIT * _ENTRY.size))
        for tag, value in _ENTRY.iter_unpack(raw[: len(raw) // _ENTRY.size * _ENTRY.size]):
            if tag == 0:
                break
            self.values.setdefault(tag, []).append(value)

    def one(self, tag: int) -> int:
        """The value of a tag; 0 where it is absent, which no value of those above is."""
        return self.values.get(tag, [0])[-1]

    def offset(self, tag: int) -> int:
        """Where in the file the table lies whose address that tag holds; 0 where it has none."""
        address = self.one(tag)
        for start, offset, file_bytes in self._loads:
            if address and start <= address < start + file_bytes:
                return offset + address - start
        return 0

    def string(self, index: int) -> str:
        """The string at `index` of the string table."""
        return text_at(self.elf, self.offset(STRTAB) + index)

    def _program_headers(self) -> List[Tuple[int, ...]]:
        header = self.elf.read(0, 64)
        (table,) = struct.unpack_from("<Q", header, 0x20)
        entry, count = struct.unpack_from("<HH", header, 0x36)
        if not table or not count:
            return []
        raw = self.elf.read(table, entry * count)
        return [_PROGRAM_HEADER.unpack_from(raw, index * entry) for index in range(count)]


def text_at(elf: Elf, offset: int) -> str:
    """The zero-terminated string at that place of the file."""
    room = min(256, elf.size_bytes - offset)
    raw = elf.read(offset, room)
    if b"\0" not in raw:
        raw = elf.read(offset, min(_NAME_LIMIT_BYTES, elf.size_bytes - offset))
    return os.fsdecode(raw.partition(b"\0")[0])


def dynamic(elf: Elf) -> Dynamic:
    """What the library asks for. Raises ElfError, struct.error or IndexError where the file is damaged."""
    section = DynamicSection(elf)
    return Dynamic(
        soname=section.string(section.one(SONAME)) if SONAME in section.values else "",
        needed=tuple(section.string(index) for index in section.values.get(NEEDED, ())),
        rpath=_folders(section, RPATH),
        runpath=_folders(section, RUNPATH),
    )


def dynamic_of(path: Path) -> Dynamic:
    """The same by path. Raises OSError or ElfError, and no other."""
    try:
        with Elf(path) as elf:
            return dynamic(elf)
    except (struct.error, IndexError) as error:
        raise ElfError(f"{path.name} has a damaged dynamic section") from error


def versions_needed(section: DynamicSection) -> Tuple[Tuple[str, str], ...]:
    """(("libc.so.6", "GLIBC_2.34"), ...): the symbol versions without which the loader refuses the library."""
    found: List[Tuple[str, str]] = []
    place, count = section.offset(VERNEED), min(section.one(VERNEEDNUM), _TABLE_LIMIT)
    for _ in range(count if place else 0):
        _, names, file, first, following = _VERNEED.unpack(section.elf.read(place, _VERNEED.size))
        library, inner = section.string(file), place + first
        for _ in range(names):
            _, flags, _, name, step = _VERNAUX.unpack(section.elf.read(inner, _VERNAUX.size))
            if not flags & 2:  # VER_FLG_WEAK: the loader warns and goes on
                found.append((library, section.string(name)))
            inner += step
        place += following
    return tuple(found)


def versions_defined(section: DynamicSection) -> Tuple[str, ...]:
    """The symbol versions that the library provides: ("GLIBCXX_3.4", "GLIBCXX_3.4.1", ...)."""
    found: List[str] = []
    place, count = section.offset(VERDEF), min(section.one(VERDEFNUM), _TABLE_LIMIT)
    for _ in range(count if place else 0):
        header = section.elf.read(place, _VERDEF.size)
        _, _, _, names, _, first, following = _VERDEF.unpack(header)
        if names:
            name, _ = _VERDAUX.unpack(section.elf.read(place + first, _VERDAUX.size))
            found.append(section.string(name))
        place += following
    return tuple(found)


def _folders(section: DynamicSection, tag: int) -> Tuple[str, ...]:
    joined = section.string(section.one(tag)) if tag in section.values else ""
    return tuple(folder for folder in joined.split(":") if folder)
