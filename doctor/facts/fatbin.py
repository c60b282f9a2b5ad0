"""Which GPU architectures a CUDA library holds code for, from the headers of its fat binaries.

No public document describes the format. What is used here was read off 14 bitsandbytes libraries (0.45.5, 0.50.2)
and torch 2.0.1's libtorch_cuda.so on 2026-11-24, and agrees with the names in torch's own list: a region is
`u32 magic, u16 version, u16 header size, u64 size`, followed by entries `u16 kind, u16 version, u32 header size,
u64 payload size, ..., u32 architecture at byte 28, ..., u64 flags at byte 40`; kind 1 is PTX, kind 2 a cubin. The
flags of code for sm_90a and sm_100a have bit 20 set, those of code for a family (sm_100f) bit 21: read off torchao
0.14.1's _C_cutlass_90a, vLLM 0.33.0's _flashmla_C and torchvision 0.24.1, which has neither.
"""

import struct
from collections import Counter
from typing import Dict, List, Tuple

from envdoc.doctor.facts.elf import Elf, ElfError, Section

_MAGIC = 0xBA55ED50
_REGION = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQ")
_ENTRY_BYTES = 48  # up to and with the flags
_SUFFIXES = ((1 << 20, "a"), (1 << 21, "f"))
_ALIGNMENT = 8
_PTX, _CUBIN = 1, 2
_LINKED, _RELOCATABLE = ".nv_fatbin", "__nv_relfatbin"

Code = Tuple[int, int, str]  # kind, architecture, suffix


def architectures(elf: Elf, one_in: int = 2, limit: int = 0) -> Tuple[str, ...]:
    """("sm_80", "sm_90a", "compute_90"): cubins by number, then PTX; empty where the file has no GPU code.

    A few kernels for a further architecture (torch 2.13 has one cubin for sm_89 beside 449 for each real one) are
    no support for it, so an architecture counts from half of the most frequent one's cubins on; `one_in` = 8 makes
    that an eighth, for libraries whose parts are compiled for different GPUs. Libraries built from relocatable code
    keep their PTX in the sections of the objects, where the driver links it when it must. With a `limit`, a file of
    more entries than that tells nothing.
    """
    linked = _count(elf, elf.named(_LINKED), limit)
    objects = _count(elf, elf.named(_RELOCATABLE), limit)
    if limit and sum(linked.values()) + sum(objects.values()) > limit:
        return ()
    found, relocatable = _common(linked, one_in), _common(objects, one_in)
    cubins = {(number, suffix) for kind, number, suffix in found if kind == _CUBIN}
    cubins = cubins or {(number, suffix) for kind, number, suffix in relocatable if kind == _CUBIN}
    ptx = {(number, suffix) for kind, number, suffix in found + relocatable if kind == _PTX}
    return tuple([f"sm_{n}{s}" for n, s in sorted(cubins)] + [f"compute_{n}{s}" for n, s in sorted(ptx)])


def _common(counts: Dict[Code, int], one_in: int) -> List[Code]:
    most = max(counts.values(), default=0)
    return [code for code, count in counts.items() if one_in * count >= most]


def _count(elf: Elf, sections: List[Section], limit: int) -> Dict[Code, int]:
    counts: Dict[Code, int] = Counter()
    for section in sections:
        position, end = section.offset, section.offset + section.size_bytes
        while position + _REGION.size <= end:
            magic, _, header_bytes, size_bytes = _REGION.unpack(elf.read(position, _REGION.size))
            if magic != _MAGIC:
                position += _ALIGNMENT  # padding between regions
                continue
            first = position + header_bytes
            position = first + size_bytes
            if not header_bytes or position > end:
                raise ElfError(
                    f"a fat binary says that it goes on to byte {position:,} of a section of {end:,}"
                )
            _count_entries(elf, first, position, counts)
            if limit and sum(counts.values()) > limit:
                return counts
    return counts


def _count_entries(elf: Elf, position: int, end: int, counts: Dict[Code, int]) -> None:
    while position + _ENTRY_BYTES <= end:
        entry = elf.read(position, _ENTRY_BYTES)
        kind, _, header_bytes, payload_bytes = _ENTRY.unpack_from(entry)
        if header_bytes < _ENTRY_BYTES:
            return  # not an entry as described above: count no nonsense
        if kind in (_PTX, _CUBIN):
            (number,), (flags,) = struct.unpack_from("<I", entry, 28), struct.unpack_from("<Q", entry, 40)
            counts[kind, number, next((name for bit, name in _SUFFIXES if flags & bit), "")] += 1
        position += header_bytes + payload_bytes
