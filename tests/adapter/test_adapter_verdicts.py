"""Every way in which an adapter is not real is told by its name, and a real one is believed."""

import json
import os
import struct
import time

import pytest
from adapter_files import LAYERS, folder, lora, tensor, write, zeros

from envdoc.doctor.adapter.folder import read_folder
from envdoc.doctor.adapter.judge import Peft, judge

NAN, INFINITE = float("nan"), float("inf")
A0, B0 = (f"base_model.model.{LAYERS[0]}.lora_{letter}.weight" for letter in "AB")
B1 = f"base_model.model.{LAYERS[1]}.lora_B.weight"


def verdict(path, peft=None):
    """The verdict on that folder."""
    return judge(read_folder(path), peft or Peft())


def failed(path, peft=None):
    """The names of the checks that make it unreal."""
    return sorted({check.name for check in verdict(path, peft).checks if check.failed})


def warned(path, peft=None):
    """The names of the checks that failed and do not make it unreal."""
    return sorted({c.name for c in verdict(path, peft).checks if c.ok is False and not c.failed})


def without(name):
    """The tensors of a good adapter but one."""
    return {key: value for key, value in lora().items() if key != name}


REAL = {
    "of the usual form": {},
    "in bf16": {"tensors": {n: tensor(t[1], dtype="BF16") for n, t in lora().items()}},
    "in fp16": {"tensors": {n: tensor(t[1], dtype="F16") for n, t in lora().items()}},
    "with metadata": {"metadata": {"format": "pt"}},
    "with a rank of its own": {
        "tensors": {**lora(), A0: tensor((3, 4)), B0: tensor((4, 3))},
        "config": {"rank_pattern": {"layers.0.self_attn.q_proj": 3}},
    },
    "with DoRA": {
        "tensors": lora(**{f"base_model.model.{LAYERS[0]}.lora_magnitude_vector": tensor((4,))}),
        "config": {"use_dora": True},
    },
    "with a head": {
        "tensors": lora(**{"base_model.model.lm_head.weight": tensor((8, 4))}),
        "config": {"modules_to_save": ["lm_head"]},
    },
    "with a regular expression": {"config": {"target_modules": r".*\.q_proj"}},
    "of another kind": {
        "tensors": {"base_model.model.h.0.ia3_l": tensor((4, 1))},
        "config": {"peft_type": "IA3"},
    },
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_adapter_is_believed(name, tmp_path):
    """No check fails and none warns."""
    path = folder(tmp_path / "a", **REAL[name])
    assert ([], []) == (failed(path), warned(path))
    assert ["real"] == [file.verdict for file in verdict(path).files]


UNREAL = {
    "empty": ({"tensors": {}}, ["file"]),
    "under the adapter's own name": ({"tensors": lora(adapter=".default")}, ["keys"]),
    "under another adapter's name": ({"tensors": lora(adapter=".mine")}, ["keys"]),
    "without a prefix": ({"tensors": lora(prefix="")}, ["keys"]),
    "of torch.compile": ({"tensors": lora(prefix="base_model.model._orig_mod.")}, ["keys"]),
    "never trained": ({"tensors": lora(b=zeros((4, 2)))}, ["lora_B"]),
    "never trained, of minus zero": ({"tensors": lora(b=zeros((4, 2), value=-0.0))}, ["lora_B"]),
    "never trained, in bf16": ({"tensors": lora(b=zeros((4, 2), "BF16"))}, ["lora_B"]),
    "of NaN": ({"tensors": lora(b=tensor((4, 2), values=[NAN] + [1.0] * 7))}, ["finite"]),
    "infinite in bf16": (
        {"tensors": lora(b=tensor((4, 2), dtype="BF16", values=[1.0] * 7 + [-INFINITE]))},
        ["finite"],
    ),
    "infinite in fp16": (
        {"tensors": lora(b=tensor((4, 2), dtype="F16", values=[1.0] * 7 + [INFINITE]))},
        ["finite"],
    ),
    "of half a layer": ({"tensors": without(B1)}, ["pairs"]),
    "of no LoRA": ({"tensors": {"base_model.model.lm_head.weight": tensor((8, 4))}}, ["pairs"]),
    "of two ranks": ({"tensors": lora(**{B0: tensor((4, 3))})}, ["shapes"]),
    "of another rank than its config": ({"config": {"r": 8}}, ["shapes"]),
    "for other modules": ({"config": {"target_modules": ["v_proj"]}}, ["targets"]),
    "without its head": ({"config": {"modules_to_save": ["lm_head"]}}, ["modules_to_save"]),
    "without a config": ({"config": False}, ["config"]),
    "without a peft_type": ({"config": {"peft_type": None}}, ["config"]),
    "of rank 0": ({"config": {"r": 0}}, ["config", "shapes"]),
    "of alpha 0": ({"config": {"lora_alpha": 0}}, ["config"]),
    "of peft 0.2's MergedLinear": (
        {"config": {"enable_lora": [True, False, True]}},
        ["fan_in_fan_out"],
    ),
    "cut short": ({"header": {B1: {"data_offsets": [96, 300]}}}, ["file"]),
    "with a tail": ({"tail": b"\0" * 8}, ["file"]),
    "of a dtype that is none": ({"header": {A0: {"dtype": "fp16"}}}, ["file", "pairs"]),
}


@pytest.mark.parametrize("name", UNREAL)
def test_each_fault_has_a_name(name, tmp_path):
    """The fault fails the check of its own, and the folder is not real."""
    options, expected = UNREAL[name]
    path = folder(tmp_path / "a", **options)
    assert (expected, False) == (failed(path), verdict(path).real)


def test_the_three_faults_that_sizes_do_not_tell(tmp_path):
    """Empty, under `.default.`, never trained: each is told in words, with numbers."""
    empty = folder(tmp_path / "empty", {})
    named = folder(tmp_path / "named", lora(adapter=".default"))
    still = folder(tmp_path / "still", lora(b=zeros((4, 2))))
    told = ["\n".join(verdict(path).lines()) for path in (empty, named, still)]

    assert "0 tensors, 0 numbers, " in told[0] and "it is empty" in told[0]
    assert "4 of 4 names hold the adapter's own name `.default.`" in told[1]
    assert "0 of 2 were moved from zero" in told[2]
    assert [False, True, False] == [verdict(path).rescue for path in (empty, named, still)]


WARNED = {
    "one layer never trained": ({"tensors": lora(**{B1: zeros((4, 2))})}, ["lora_B"]),
    "a target that no layer is": ({"config": {"target_modules": ["q_proj", "k_proj"]}}, ["targets"]),
    "fan_in_fan_out on a Linear": ({"config": {"fan_in_fan_out": True}}, ["fan_in_fan_out"]),
    "no base model": ({"config": {"base_model_name_or_path": None}}, ["base"]),
    "a whole tensor of no module": (
        {"tensors": lora(**{"base_model.model.model.norm.weight": tensor((4,))})},
        ["whole layers"],
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_what_may_be_meant_is_a_warning(name, tmp_path):
    """The check fails, and the adapter may be real."""
    options, expected = WARNED[name]
    path = folder(tmp_path / "a", **options)
    assert ([], expected) == (failed(path), warned(path))


def test_keys_of_a_newer_peft(tmp_path):
    """A key that the installed peft does not know is an error where it raises, a warning where it is passed over."""
    path = folder(tmp_path / "a", config={"corda_config": None})
    known = frozenset(json.loads((path / "adapter_config.json").read_text())) - {"corda_config"}

    assert ["peft keys"] == failed(path, Peft("0.10.0", known, tolerant=False))
    assert ["peft keys"] == warned(path, Peft("0.19.1", known, tolerant=True))
    assert [] == failed(path, Peft("0.21.2", known | {"corda_config"}, tolerant=True))


def test_a_stale_bin_beside_fresh_safetensors(tmp_path):
    """The older .bin is a warning; older safetensors are what peft would load, and make it unreal."""
    path = folder(tmp_path / "a")
    (path / "adapter_model.bin").write_bytes(b"")
    now = time.time()
    os.utime(path / "adapter_model.bin", (now - 7200, now - 7200))
    os.utime(path / "adapter_model.safetensors", (now, now))
    assert ["file (adapter_model.bin)", "old file"] == warned(path)
    assert {"adapter_model.safetensors": "real", "adapter_model.bin": "not loaded"} == {
        file.file: file.verdict for file in verdict(path).files
    }
    os.utime(path / "adapter_model.safetensors", (now - 9000, now - 9000))
    assert ["old file"] == failed(path)


def test_a_checkpoint_without_an_adapter(tmp_path):
    """transformers below 4.31 saves the whole model in checkpoint-N; both folders say so."""
    checkpoint = tmp_path / "out" / "checkpoint-10"
    checkpoint.mkdir(parents=True)
    (checkpoint / "pytorch_model.bin").write_bytes(b"x")
    (checkpoint / "trainer_state.json").write_text("{}")
    assert ["config", "file"] == failed(checkpoint)
    assert "transformers below 4.31" in "\n".join(verdict(checkpoint).lines())
    assert ["checkpoints", "config"] == failed(tmp_path / "out")


def test_mlx_is_known(tmp_path):
    """An adapter of MLX is real for MLX, and peft does not load it, which is said."""
    tensors = {
        f"{layer}.lora_{letter}": tensor(shape)
        for layer in LAYERS
        for letter, shape in (("a", (4, 2)), ("b", (2, 4)))
    }
    config = {"fine_tune_type": "lora", "lora_parameters": {"rank": 2, "scale": 20.0}}
    path = folder(tmp_path / "a", tensors, False, "adapters.safetensors")
    (path / "adapter_config.json").write_text(json.dumps(config))
    assert ("MLX", [], ["keys"]) == (verdict(path).origin, failed(path), warned(path))


BROKEN = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "a header beyond the end": struct.pack("<Q", 1 << 20) + b"{}",
    "a header of a terabyte": struct.pack("<Q", 1 << 40) + b"{}",
    "a header that is no JSON": struct.pack("<Q", 4) + b"{abc",
    "a header that is a list": struct.pack("<Q", 2) + b"[]",
    "a name twice": struct.pack("<Q", 14) + b'{"a":1,"a":2} ',
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a page of a server": b"<!DOCTYPE html><html></html>",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_none(name, tmp_path):
    """Whatever lies there, the verdict is that the file cannot be read; nothing is raised."""
    path = folder(tmp_path / "a")
    (path / "adapter_model.safetensors").write_bytes(BROKEN[name])
    assert (["file"], ["not real"]) == (failed(path), [file.verdict for file in verdict(path).files])
    if "LFS" in name:
        assert "git lfs pull" in "\n".join(verdict(path).lines())


def test_a_layout_that_no_library_reads(tmp_path):
    """A hole between tensors and an overlap are faults by the format's own rules."""
    for place, offsets in (("hole", [40, 72]), ("overlap", [16, 48])):
        path = folder(tmp_path / place, header={B0: {"data_offsets": offsets}})
        assert ["file"] == failed(path)


def test_a_config_that_is_none(tmp_path):
    """A config that is no JSON is told as such."""
    path = folder(tmp_path / "a")
    (path / "adapter_config.json").write_text("{")
    assert ["config"] == failed(path)


def test_large_tensors_are_read_in_blocks(tmp_path):
    """A NaN in the last of two million numbers is found, and a single number keeps a tensor from being zero."""
    count = 1 << 21
    last = struct.pack("<f", NAN)
    zero = ("F32", [count, 1], b"\0" * 4 * count)
    tensors = {**lora(), A0: ("F32", [1, count], b"\0" * (4 * count - 4) + last), B0: tensor((4, 1))}
    path = tmp_path / "a"
    folder(path, tensors, {"rank_pattern": {"layers.0.self_attn.q_proj": 1}})
    assert ["finite"] == failed(path)
    moved = ("F32", [count, 1], zero[2][:-4] + struct.pack("<f", 1.0))
    write(path / "adapter_model.safetensors", {**lora(), A0: tensor((1, 4)), B0: moved})
    assert ([], []) == (failed(path), warned(path))
