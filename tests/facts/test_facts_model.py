"""The model of `--model`: counted from its config.json, weighed by its files, or guessed from its name and so told."""

import json
import os
import subprocess

import pytest

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.model_config import counts
from envdoc.doctor.facts.model_files import parameters_in, wanted_model

# (parameters as the makers publish them, config.json)
PUBLISHED = {
    "Llama-2-7B": (6_738_415_616, "llama", {"h": 4096, "l": 32, "a": 32, "i": 11008, "v": 32000}),
    "Llama-3-8B": (8_030_261_248, "llama", {"h": 4096, "l": 32, "a": 32, "k": 8, "i": 14336, "v": 128256}),
    "Mistral-7B": (7_241_732_096, "mistral", {"h": 4096, "l": 32, "a": 32, "k": 8, "i": 14336, "v": 32000}),
    "Qwen2-0.5B": (
        494_032_768,
        "qwen2",
        {"h": 896, "l": 24, "a": 14, "k": 2, "i": 4864, "v": 151936, "t": True},
    ),
    "Qwen2.5-7B": (7_615_616_512, "qwen2", {"h": 3584, "l": 28, "a": 28, "k": 4, "i": 18944, "v": 152064}),
    "Qwen3-0.6B": (
        596_049_920,
        "qwen3",
        {"h": 1024, "l": 28, "a": 16, "k": 8, "d": 128, "i": 3072, "v": 151936, "t": True},
    ),
    "Qwen3-30B-A3B": (
        30_532_122_624,
        "qwen3_moe",
        {"h": 2048, "l": 48, "a": 32, "k": 4, "d": 128, "i": 6144, "v": 151936}
        | {"num_experts": 128, "moe_intermediate_size": 768, "decoder_sparse_step": 1},
    ),
    "Mixtral-8x7B": (
        46_702_792_704,
        "mixtral",
        {"h": 4096, "l": 32, "a": 32, "k": 8, "i": 14336, "v": 32000, "num_local_experts": 8},
    ),
    "Qwen1.5-MoE-A2.7B": (
        14_315_784_192,
        "qwen2_moe",
        {"h": 2048, "l": 24, "a": 16, "k": 16, "i": 5632, "v": 151936, "num_experts": 60}
        | {"moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
    ),
    "gemma-2b": (
        2_506_172_416,
        "gemma",
        {"h": 2048, "l": 18, "a": 8, "k": 1, "d": 256, "i": 16384, "v": 256000},
    ),
    "Phi-3-mini": (3_821_079_552, "phi3", {"h": 3072, "l": 32, "a": 32, "k": 32, "i": 8192, "v": 32064}),
    "gpt2": (124_439_808, "gpt2", {"n_embd": 768, "n_layer": 12, "n_positions": 1024, "v": 50257}),
    "pythia-70m": (70_426_624, "gpt_neox", {"h": 512, "l": 6, "i": 2048, "v": 50304}),
    "opt-125m": (
        125_239_296,
        "opt",
        {"h": 768, "l": 12, "ffn_dim": 3072, "v": 50272, "max_position_embeddings": 2048},
    ),
    "bloom-560m": (559_214_592, "bloom", {"h": 1024, "n_layer": 24, "v": 250880}),
    "chatglm3-6b": (
        6_243_584_000,
        "chatglm",
        {"h": 4096, "num_layers": 28, "ffn_hidden_size": 13696, "kv_channels": 128, "a": 32}
        | {"multi_query_attention": True, "multi_query_group_num": 2, "padded_vocab_size": 65024}
        | {"add_qkv_bias": True},
    ),
    "chatglm-6b": (
        6_173_286_400,
        "chatglm",
        {"h": 4096, "num_layers": 28, "inner_hidden_size": 16384, "a": 32, "v": 130528},
    ),
}
SHORT = {
    "h": "hidden_size",
    "l": "num_hidden_layers",
    "a": "num_attention_heads",
    "k": "num_key_value_heads",
    "d": "head_dim",
    "i": "intermediate_size",
    "v": "vocab_size",
    "t": "tie_word_embeddings",
}
ENVIRON = {"HOME": "/nowhere"}


def config(kind, fields):
    """A config.json."""
    return {"model_type": kind, **{SHORT.get(key, key): value for key, value in fields.items()}}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameters_are_those_that_are_published(name):
    """To the last one: grouped queries, tied embeddings, biases, experts."""
    published, kind, fields = PUBLISHED[name]
    assert published == counts(config(kind, fields)).parameters


def test_the_adapter_of_a_7b_model_is_that_of_the_paper():
    """Rank 16 on every linear layer of Llama-2-7B is 39,976,960 parameters (peft prints that)."""
    _, kind, fields = PUBLISHED["Llama-2-7B"]
    assert 39_976_960 == 16 * counts(config(kind, fields)).per_rank


COUNT = """
import json, sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM
for line in sys.stdin:
    told = json.loads(line)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(told.pop("model_type"), **told))
    print(sum(p.numel() for p in model.parameters()))
"""
SMALL = {"vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
SMALL.update(intermediate_size=96)
REAL = [
    {"model_type": "llama", **SMALL, "num_key_value_heads": 2},
    {"model_type": "llama", **SMALL, "tie_word_embeddings": True, "head_dim": 32, "attention_bias": True},
    {"model_type": "mistral", **SMALL, "num_key_value_heads": 2},
    {"model_type": "qwen2", **SMALL, "num_key_value_heads": 2},
    {"model_type": "gemma", **SMALL, "num_key_value_heads": 1, "head_dim": 32},
    {"model_type": "mixtral", **SMALL, "num_key_value_heads": 2, "num_local_experts": 4},
    {"model_type": "gpt2", "vocab_size": 1000, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128},
    {"model_type": "gpt_neox", **SMALL},
    {"model_type": "opt", **SMALL, "ffn_dim": 96, "max_position_embeddings": 128, "word_embed_proj_dim": 64},
    {"model_type": "bloom", "vocab_size": 1000, "hidden_size": 64, "n_layer": 3, "n_head": 4},
]


def test_the_counts_are_those_of_the_real_library(patient):
    """transformers builds each model without memory and counts what it built."""
    lines = "".join(json.dumps(one) + "\n" for one in REAL)
    done = subprocess.run(
        [str(patient), "-c", COUNT],
        input=lines,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert 0 == done.returncode, done.stderr[-2000:]
    assert [int(line) for line in done.stdout.split()] == [counts(one).parameters for one in REAL]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"model_type": "unheard"},
        {"model_type": "llama"},
        {"model_type": "llama", "hidden_size": "x"},
        {"model_type": ["llama"]},
        config("llama", {"h": 64, "l": 2, "a": 0, "i": 1, "v": 1}),
    ],
)
def test_a_config_that_tells_nothing_is_not_guessed(told):
    """An unknown family, missing fields, fields of a wrong type, zero heads."""
    assert counts(told) is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-2-7b-hf", 7 * 10**9),
        ("Qwen/Qwen3-30B-A3B", 30 * 10**9),
        ("mistralai/Mixtral-8x7B-v0.1", 56 * 10**9),
        ("facebook/opt-1.3b", 13 * 10**8),
        ("bigscience/bloom-560m", 56 * 10**7),
        ("gpt2", 0),
        ("somebody/llama-4bit", 0),
        ("org/v2.0b", 0),
    ],
)
def test_the_number_in_a_name(name, parameters):
    """A size as a word of its own, and not a version, a number of bits, or the active part of experts."""
    assert parameters == parameters_in(name)


def test_a_name_is_an_estimate_and_says_so():
    """Two bytes for each parameter; less where the name says that it is quantised."""
    told = wanted_model("meta-llama/Llama-2-7b-hf", ENVIRON)
    assert ("name", 14 * 10**9, None) == (told.source, told.download_bytes, told.lora_parameters_per_rank)
    assert 4_200_000_000 == wanted_model("unsloth/llama-2-7b-bnb-4bit", ENVIRON).download_bytes
    nothing = wanted_model("org/model", ENVIRON)
    assert ("", None) == (nothing.source, nothing.download_bytes) and "--online" in nothing.problem


def folder(path, files, told=None):
    """A model's folder with files of that size (sparse), and a config.json."""
    path.mkdir(parents=True, exist_ok=True)
    for name, size in files.items():
        with (path / name).open("wb") as file:
            file.truncate(size)
    if told is not None:
        (path / "config.json").write_text(json.dumps(told))
    return path


def test_a_folder_is_weighed(tmp_path):
    """safetensors where there are any, and not the same weights twice."""
    _, kind, fields = PUBLISHED["gpt2"]
    files = {"model.safetensors": 548_105_171, "pytorch_model.bin": 548_118_077, "model.onnx": 9 * 10**8}
    told = wanted_model(str(folder(tmp_path / "gpt2", files, config(kind, fields))), ENVIRON)
    assert ("folder", 548_105_171, False) == (told.source, told.weight_bytes, told.is_pickled)
    assert (124_439_808, told.download_bytes) == (told.parameters, told.present_bytes)
    assert told.repository_bytes > 1_900_000_000
    pickled = wanted_model(str(folder(tmp_path / "old", {"pytorch_model.bin": 10**6})), ENVIRON)
    assert (True, 10**6, "") == (pickled.is_pickled, pickled.weight_bytes, pickled.model_type)


def test_a_folder_without_weights_tells_by_its_config(tmp_path):
    """Two bytes for each parameter; a folder that holds nothing of the kind says so."""
    _, kind, fields = PUBLISHED["Llama-2-7B"]
    told = wanted_model(str(folder(tmp_path / "bare", {}, config(kind, fields))), ENVIRON)
    assert (2 * 6_738_415_616, 0) == (told.download_bytes, told.present_bytes)
    empty = wanted_model(str(folder(tmp_path / "empty", {"README.md": 3}, {"model_type": "x"})), ENVIRON)
    assert (None, "no file of weights that from_pretrained reads is in it") == (
        empty.weight_bytes,
        empty.problem,
    )
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text("{" * 100_000)
    assert wanted_model(str(tmp_path / "bad"), ENVIRON).parameters is None


def test_the_cache_is_looked_into_first(tmp_path):
    """A snapshot of links to blobs; one that lacks a shard is still to be downloaded."""
    environ = {"HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    base = tmp_path / "hub" / "models--org--model-7b"
    blobs = folder(base / "blobs", {"aa": 6 * 10**9, "bb": 5 * 10**9})
    snapshot = folder(base / "snapshots" / "0123", {}, {"model_type": "llama"})
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model-00001-of-00002.safetensors").symlink_to(blobs / "aa")
    partial = wanted_model("org/model-7b", environ)
    assert ("name", 11 * 10**9) == (partial.source, partial.present_bytes)
    (snapshot / "model-00002-of-00002.safetensors").symlink_to(blobs / "bb")
    whole = wanted_model("org/model-7b", environ)
    assert ("cache", 11 * 10**9) == (whole.source, whole.weight_bytes)
    assert whole.download_bytes == whole.present_bytes


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "./gone", "a/b/c", "https://hub.example/x", "", "a b", "~nobody/x", "x" * 300]
)
def test_what_is_no_model_is_misuse(name):
    """A path that leads nowhere, an address, a name that no hub has."""
    with pytest.raises(EnvdocError, match="--model"):
        wanted_model(name, ENVIRON)


def test_a_run_file_names_the_model_and_its_adapter(tmp_path):
    """As `envdoc train` reads it: nested, in braces, or short; comments and quotes are passed over."""
    told = folder(tmp_path / "llama", {"model.safetensors": 10**6})
    run = tmp_path / "run.yaml"
    for text in (
        f"model: {told} # a folder\nlora: {{r: 64, alpha: 128}}\ntrain: {{keep: 5}}\n",
        f"name: x\nmodel:\n  path: '{told}'\n  # r: 3\nlora:\n  r: 64\ntrain:\n  epochs: 3\n  keep: 5\n",
    ):
        run.write_text(text)
        model = wanted_model(str(run), ENVIRON)
        assert (str(told), 64, 5, 16) == (model.name, model.rank, model.kept_checkpoints, model.bits)
    run.write_text("model: {path: org/model-7b, quantization: 4bit}\n")
    model = wanted_model(str(run), ENVIRON)
    assert ("org/model-7b", 16, 2, 4) == (model.name, model.rank, model.kept_checkpoints, model.bits)
    run.write_text("model: tiny\ndata: bundled\n")
    assert ("folder", None) == (
        wanted_model(str(run), ENVIRON).source,
        wanted_model(str(run), ENVIRON).weight_bytes,
    )
    for text in ("name: x\n", "model: other.yaml\n", "model: ./gone\n"):
        run.write_text(text)
        with pytest.raises(EnvdocError):
            wanted_model(str(run), ENVIRON)
    with pytest.raises(EnvdocError, match="cannot be read"):
        wanted_model(str(tmp_path / "none.yaml"), ENVIRON)


def test_the_defaults_are_those_of_the_pipeline():
    """The doctor never imports train/, so that a test compares them."""
    from envdoc.doctor.facts import run_file
    from envdoc.doctor.facts.snapshot import WantedModel
    from envdoc.train.config import Lora, Train

    assert (Lora().r, Train().keep) == (run_file.RANK, run_file.KEPT)
    assert (Lora().r, Train().keep) == (WantedModel("x").rank, WantedModel("x").kept_checkpoints)


def test_the_example_files_of_the_repository_are_read():
    """examples/*.yaml are what people copy."""
    from pathlib import Path

    from envdoc.doctor.facts.run_file import read_run_file

    example = Path(__file__).parents[2] / "examples" / "qlora-4bit.yaml"
    assert ("/path/to/a/model", 16, 2, 4) == tuple(read_run_file(example))
