"""What the libraries of a process want of another one, and whether the file that they are given has it."""

import os
import struct
from pathlib import Path
from typing import Dict, Iterator, Sequence, Set, Tuple

from envdoc.doctor.facts.elf import Elf, ElfError
from envdoc.doctor.facts.elf_dynamic import (
    STRSZ,
    STRTAB,
    DynamicSection,
    versions_defined,
    versions_needed,
)
from envdoc.doctor.facts.elf_symbols import undefined

_ERRORS = (OSError, ElfError, struct.error, IndexError)
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_SHOWN = 5


def missing_versions(soname: str, given: str, askers: Sequence[str]) -> Tuple[str, ...]:
    """`GLIBCXX_3.4.30 (libtorch_cpu.so)`: symbol versions that an asker needs; without them the loader stops."""
    try:
        with Elf(Path(given)) as elf:
            defined = set(versions_defined(DynamicSection(elf)))
    except _ERRORS:
        return ()
    if not defined:  # a library without versions satisfies all of them, with a message
        return ()
    found: Dict[str, str] = {}
    for asker in askers:
        try:
            with Elf(Path(asker)) as elf:
                needed = versions_needed(DynamicSection(elf))
        except _ERRORS:
            continue
        for library, version in needed:
            if library == soname and version not in defined:
                found.setdefault(version, Path(asker).name)
    return tuple(f"{version} ({asker})" for version, asker in found.items())


def missing_symbols(given: str, displaced: str, askers: Sequence[str]) -> Tuple[str, ...]:
    """Up to five symbols that an asker wants, the displaced library has, and the one that it is given lacks."""
    try:
        lost = _defined(displaced) - _defined(given)
        wanted = (name for asker in askers for name in _undefined(asker)) if lost else iter(())
        return tuple(dict.fromkeys(name for name in wanted if name in lost))[:_SHOWN]
    except _ERRORS:
        return ()


def _undefined(path: str) -> Tuple[str, ...]:
    with Elf(Path(path)) as elf:
        return undefined(DynamicSection(elf))


def _defined(path: str) -> Set[str]:
    """Every exported name. nvidia's libraries have no GNU hash table to look names up in, and few names."""
    with Elf(Path(path)) as elf:
        return set(_names(elf))


def _names(elf: Elf) -> Iterator[str]:
    section = DynamicSection(elf)
    symbols = next(iter(elf.named(".dynsym")), None)
    if symbols is None or not section.offset(STRTAB):
        return
    strings = elf.read(section.offset(STRTAB), section.one(STRSZ))
    raw = elf.read(symbols.offset, symbols.size_bytes // _SYMBOL.size * _SYMBOL.size)
    for name, _, _, index, _, _ in _SYMBOL.iter_unpack(raw):
        if index and name:
            yield os.fsdecode(strings[name : strings.find(b"\0", name)])
