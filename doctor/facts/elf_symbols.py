"""Which symbols a library wants from others, and whether a library has them.

A lookup goes through the GNU hash table, as the loader's does: a bloom filter, a bucket, a short chain. So its cost
grows with the symbols that are asked for, not with those that libtorch_cpu.so exports. The table's layout is that of
glibc (elf/dl-lookup.c) and binutils; no standard describes it.
"""

import struct
from functools import lru_cache
from typing import Iterable, List, Tuple

from envdoc.doctor.facts.elf import Elf, ElfError
from envdoc.doctor.facts.elf_dynamic import GNU_HASH, STRSZ, STRTAB, SYMTAB, DynamicSection

_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_HEADER = struct.Struct("<IIII")  # buckets, index of the first hashed symbol, bloom words, bloom shift
_STB_WEAK = 2
_NAMES = "latin-1"  # names of symbols are bytes; this keeps each as one character, and is quick
_CHAIN_LIMIT = 1 << 12  # symbols of one bucket; a healthy table has two or three


def undefined(section: DynamicSection) -> Tuple[str, ...]:
    """The symbols that must be found elsewhere, in the order of the table; weak ones may stay missing."""
    elf = section.elf
    symbols = next(iter(elf.named(".dynsym")), None)
    if symbols is None or not section.offset(STRTAB):
        return ()
    strings = elf.read(section.offset(STRTAB), section.one(STRSZ)).decode(_NAMES)
    raw = elf.read(symbols.offset, symbols.size_bytes // _SYMBOL.size * _SYMBOL.size)
    found: List[str] = []
    for name, info, _, index, _, _ in _SYMBOL.iter_unpack(raw):
        if index == 0 and name and info >> 4 != _STB_WEAK:
            found.append(strings[name : strings.find("\0", name)])
    return tuple(found)


@lru_cache(maxsize=1 << 14)  # extensions of one torch ask for the same symbols
def gnu_hash(name: str) -> int:
    """The hash of a symbol's name: h * 33 + c over its bytes, from 5381, in 32 bits."""
    value = 5381
    for byte in name.encode(_NAMES):
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


class Exports:
    """The symbols that one library defines, asked for one by one. The Elf must stay open.

    Raises ElfError where the library has no GNU hash table or a damaged one.
    """

    def __init__(self, elf: Elf) -> None:
        section = DynamicSection(elf)
        place = section.offset(GNU_HASH)
        if not place:
            raise ElfError("it has no GNU hash table")
        self._elf = elf
        self._strings, self._symbols = section.offset(STRTAB), section.offset(SYMTAB)
        self._bucket_count, self._first, words, self._shift = _HEADER.unpack(elf.read(place, _HEADER.size))
        if not self._bucket_count or not words:
            raise ElfError("its GNU hash table is damaged")
        place += _HEADER.size
        self._bloom = elf.read(place, 8 * words)
        self._buckets = elf.read(place + 8 * words, 4 * self._bucket_count)
        self._chains = place + 8 * words + 4 * self._bucket_count

    def missing(self, hashed: Iterable[Tuple[str, int]]) -> List[Tuple[str, int]]:
        """Those of the (name, `gnu_hash` of it) that the library does not define."""
        return [(name, value) for name, value in hashed if not self._has(name, value)]

    def _has(self, name: str, value: int) -> bool:
        (word,) = struct.unpack_from("<Q", self._bloom, 8 * (value // 64 % (len(self._bloom) // 8)))
        if not (word >> (value % 64)) & (word >> ((value >> self._shift) % 64)) & 1:
            return False
        (index,) = struct.unpack_from("<I", self._buckets, 4 * (value % self._bucket_count))
        if index < self._first:
            return False
        for step in range(index, index + _CHAIN_LIMIT):
            chain = self._elf.read(self._chains + 4 * (step - self._first), 4)
            (other,) = struct.unpack("<I", chain)
            if other | 1 == value | 1 and self._is(name, step):
                return True
            if other & 1:  # the last of its bucket
                return False
        return False

    def _is(self, name: str, index: int) -> bool:
        entry = self._elf.read(self._symbols + _SYMBOL.size * index, _SYMBOL.size)
        start, _, _, section, _, _ = _SYMBOL.unpack(entry)
        if section == 0:
            return False
        wanted = name.encode(_NAMES) + b"\0"
        place = self._strings + start
        if place + len(wanted) > self._elf.size_bytes:
            return False
        return self._elf.read(place, len(wanted)) == wanted
