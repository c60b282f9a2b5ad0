"""Files that were damaged or made to harm: read in bounded time, nothing raised, nothing run."""

import random
import struct
import zipfile

import pytest
from adapter_files import folder

from envdoc.doctor.adapter.folder import read_folder
from envdoc.doctor.adapter.judge import Peft, judge
from envdoc.doctor.weights import pickled
from envdoc.doctor.weights.opcodes import follow


def test_a_tensor_that_repeats_its_storage(tmp_path):
    """A billion numbers by a stride of 0 in a storage of four bytes are a fault, and take no memory."""
    size = b"J" + struct.pack("<i", 10**9)
    pickle = (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00" + size + b"\x85K\x00\x85\x89}tRs."
    )
    path = tmp_path / "adapter_model.bin"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a/data.pkl", pickle)
        made.writestr("a/data/0", b"\0" * 4)
    found = pickled.read(path)
    assert ("", {}) == (found.problem, found.tensors)
    assert ("`a` is larger than its storage, whose numbers it repeats",) == found.faults


@pytest.mark.parametrize(
    "text", [b"", b".", b"(", b"t.", b"\x80\x02h\x05.", b"R.", b"\x80\x04\x95", b"c\n\n.", b"0."]
)
def test_pickles_that_are_none(text):
    """An opcode without what it takes is a ValueError and nothing else."""
    try:
        follow(text)
    except ValueError:
        return


def test_damaged_files(tmp_path):
    """A thousand adapters with a few bytes changed: each has a verdict."""
    choose = random.Random(4)
    path = folder(tmp_path / "a")
    whole = (path / "adapter_model.safetensors").read_bytes()
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(choose.randrange(1, 8)):
            data[choose.randrange(len(data))] = choose.randrange(256)
        (path / "adapter_model.safetensors").write_bytes(bytes(data[: choose.randrange(len(data))]))
        assert judge(read_folder(path), Peft()).real is False
