"""ELF sections and fat binaries, in libraries that a compiler made."""

import struct

import fakes
import pytest

from envdoc.doctor.facts import fatbin
from envdoc.doctor.facts.elf import Elf, ElfError, problem_of

PTX, CUBIN = 1, 2


def region(*codes):
    """The bytes of one fat binary region with an entry for each (kind, architecture)."""
    entries = b"".join(
        struct.pack("<HHIQ", kind, 0x101, 64, 40).ljust(28, b"\0")
        + struct.pack("<I", architecture)
        + bytes(32 + 40)
        for kind, architecture in codes
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries


def architectures(path):
    with Elf(path) as elf:
        return fatbin.architectures(elf)


def test_sections_of_a_real_library(tmp_path):
    """The section that was put in is found with exactly its bytes, and .bss, which has none, is left out."""
    path = fakes.shared_library(tmp_path / "lib.so", b"sixteen bytes...", ["text"])
    with Elf(path) as elf:
        (section,) = elf.named(".nv_fatbin")
        assert b"sixteen bytes..." == elf.read(section.offset, section.size_bytes)
        assert [] == elf.named(".bss")


def test_cubins_then_ptx(tmp_path):
    """Every architecture is told once, numbers in order, PTX as compute_NN at the end."""
    data = region((CUBIN, 90), (CUBIN, 80), (PTX, 90)) + region((CUBIN, 80), (CUBIN, 90), (PTX, 90))
    assert ("sm_80", "sm_90", "compute_90") == architectures(fakes.shared_library(tmp_path / "lib.so", data))


def test_stray_cubins_are_no_support(tmp_path):
    """One kernel for sm_89 beside twenty for sm_80 does not serve a GPU of capability 8.9."""
    data = b"".join(region((CUBIN, 80), (CUBIN, 86)) for _ in range(20)) + region((CUBIN, 89))
    assert ("sm_80", "sm_86") == architectures(fakes.shared_library(tmp_path / "lib.so", data))


def test_padding_between_regions_is_passed_over(tmp_path):
    """Zeros between two regions end neither of them."""
    data = region((CUBIN, 80)) + bytes(48) + region((CUBIN, 90))
    assert ("sm_80", "sm_90") == architectures(fakes.shared_library(tmp_path / "lib.so", data))


def test_relocatable_objects_keep_their_ptx_apart(tmp_path):
    """PTX in __nv_relfatbin counts, since the driver links it when no cubin fits (as in bitsandbytes)."""
    path = fakes.shared_library(
        tmp_path / "lib.so", region((CUBIN, 80), (CUBIN, 90), (PTX, 90)), section="__nv_relfatbin"
    )
    assert ("sm_80", "sm_90", "compute_90") == architectures(path)


def test_a_library_without_gpu_code_has_no_architectures(tmp_path):
    """No section, no architectures, no error."""
    assert () == architectures(fakes.shared_library(tmp_path / "lib.so", strings=["cpu"]))


def test_a_region_longer_than_its_section_is_refused(tmp_path):
    """A size that points outside the section is an error, not a read of whatever follows."""
    data = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 40) + bytes(64)
    with pytest.raises(ElfError, match="goes on to byte"):
        architectures(fakes.shared_library(tmp_path / "lib.so", data))


def test_entries_of_another_layout_are_not_counted(tmp_path):
    """A header size of 0 would never end the walk; it ends it at once and tells nothing."""
    data = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 96) + bytes(96)
    assert () == architectures(fakes.shared_library(tmp_path / "lib.so", data))


def test_a_truncated_library_is_told_with_both_sizes(tmp_path):
    """The sentence names the file, the bytes that are there and those that its header promises."""
    path = fakes.shared_library(tmp_path / "libtorch_cpu.so", bytes(100_000))
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(50_000)
    problem = problem_of(path)
    assert problem.startswith("libtorch_cpu.so is truncated: it has 50,000 bytes")
    assert 50_000 < whole and problem.endswith(f"{whole:,}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "lib.so is empty"),
        (b"#!/bin/sh\n", "lib.so is no ELF file"),
        (b"\x7fELF\x02\x01", "lib.so is no 64-bit little-endian ELF file"),
        (b"\x7fELF\x01\x01" + bytes(60), "lib.so is no 64-bit little-endian ELF file"),
        (b"\x7fELF\x02\x01" + b"\xff" * 58, "lib.so is truncated"),
    ],
)
def test_what_is_no_library_is_named(tmp_path, content, expected):
    """Any content at all gives a clause and no exception."""
    path = tmp_path / "lib.so"
    path.write_bytes(content)
    assert problem_of(path).startswith(expected)


def test_a_missing_library_is_named(tmp_path):
    """A file that is not there is told apart from one that is damaged."""
    assert "lib.so is missing" == problem_of(tmp_path / "lib.so")
