"""What a model's folder says: read from real files, judged by the rules that a user meets."""

import json
import os
import shutil
import struct
import zipfile

import pytest
from model_folders import GOOD, OLD, SPECIAL

from envdoc.doctor.facts.chat_template import template_faults
from envdoc.doctor.facts.model_folder import read_model_folder
from envdoc.doctor.facts.snapshot import Package, Snapshot, from_json
from envdoc.doctor.finding import Status
from envdoc.doctor.rules.registry import all_rules, judge, selected
from envdoc.doctor.weights.sentencepiece import parse

RULES = selected(all_rules(), ["TOK02", "TOK03", "TRF02", "TRF03"])


def codes(folder, transformers="5.23.0"):
    """The codes that the folder fails."""
    packages = (Package("transformers", transformers), Package("torch", "2.13.0"))
    snapshot = Snapshot(packages=packages, model_folder=read_model_folder(folder))
    assert snapshot == from_json(snapshot.to_json())
    checks = judge(snapshot, RULES)
    assert [] == [check for check in checks if check.status is Status.CRASHED]
    return sorted({check.code for check in checks if check.failed})


def shard(path, tensors, cut=0):
    """A safetensors file of F16 zeros with those shapes; `cut` bytes are missing at its end."""
    header, place = {}, 0
    for name, shape in tensors.items():
        size = 2
        for one in shape:
            size *= one
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + b"\0" * place
    path.write_bytes(data[: len(data) - cut])


LAYER = {"self_attn.q_proj.weight": (4, 4), "mlp.up_proj.weight": (4, 4)}
TENSORS = {
    "model.embed_tokens.weight": (400, 4),
    "lm_head.weight": (400, 4),
    **{f"model.layers.{n}.{name}": shape for n in range(2) for name, shape in LAYER.items()},
}
CONFIG = {**GOOD["config.json"], "hidden_size": 4, "num_hidden_layers": 2}


def test_sentencepiece_by_its_wire_format(tokenizer_model):
    """Pieces, kinds and ids are those that SentencePiece was told to make."""
    model = parse(tokenizer_model.read_bytes())
    assert (("unk", 0, "<unk>"), ("bos", 1, "<s>"), ("eos", 2, "</s>")) == model.specials
    assert ("bpe", True, "<0x00>", 259 + 1) == (
        model.algorithm,
        model.byte_fallback,
        model.pieces[3],
        model.pieces.index("<0xFF>") + 2,
    )
    for length in (0, 1, 50, 1000):
        try:
            parse(tokenizer_model.read_bytes()[:length])
        except ValueError:
            continue


def test_good_and_old(model_folder):
    """A good folder fails nothing; an old conversion fails what is wrong with it, each by its own code."""
    assert [] == codes(model_folder())
    assert ["TOK020", "TOK021", "TOK022", "TOK027"] == codes(model_folder(OLD, "old"))
    assert ["TOK020", "TOK021", "TOK022"] == codes(model_folder(OLD, "again"), "4.31.0")


ADDED = {"[PAD]": 400}
FOLDERS = {
    "pad is eos": (
        {"tokenizer_config.json": {**GOOD["tokenizer_config.json"], "pad_token": "</s>"}},
        ["TOK025"],
    ),
    "all of them unk": (
        {
            "tokenizer_config.json": {
                **GOOD["tokenizer_config.json"],
                "eos_token": {"content": "<unk>", "lstrip": False},
                "bos_token": "<unk>",
            },
            "config.json": {**GOOD["config.json"], "bos_token_id": 0, "eos_token_id": 0},
        },
        ["TOK026"],
    ),
    "a token without a row": ({"added_tokens.json": ADDED}, ["TOK024"]),
    "a row for it": (
        {"added_tokens.json": ADDED, "config.json": {**GOOD["config.json"], "vocab_size": 401}},
        [],
    ),
    "a token that is nowhere": (
        {"tokenizer_config.json": {**GOOD["tokenizer_config.json"], "pad_token": "[PAD]"}},
        ["TOK023"],
    ),
    "another end in the config": ({"config.json": {**GOOD["config.json"], "eos_token_id": 1}}, ["TOK022"]),
    "several ends": ({"generation_config.json": {"eos_token_id": [5, 2]}}, []),
    "no add_bos_token": (
        {"tokenizer_config.json": {**SPECIAL, "tokenizer_class": "LlamaTokenizer"}},
        ["TOK027"],
    ),
    "a template": (
        {
            "tokenizer_config.json": {
                **GOOD["tokenizer_config.json"],
                "chat_template": "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}",
            }
        },
        [],
    ),
    "a template without an end": (
        {
            "tokenizer_config.json": {
                **GOOD["tokenizer_config.json"],
                "chat_template": "{% for m in messages %}{{ m['content'] }}{% endfor %}",
            }
        },
        ["TOK030"],
    ),
    "a template that is cut": (
        {
            "tokenizer_config.json": {
                **GOOD["tokenizer_config.json"],
                "chat_template": "{% for m in messages %}{{ m['content'] + eos_token }}",
            }
        },
        ["TOK031"],
    ),
    "no config": ({"config.json": None}, ["TRF020"]),
    "no model_type": ({"config.json": {"vocab_size": 400}}, ["TRF020"]),
    "fp16": ({"config.json": {**GOOD["config.json"], "torch_dtype": "fp16"}}, ["TRF025"]),
    "code that is gone": (
        {"config.json": {**GOOD["config.json"], "auto_map": {"AutoModel": "modeling_x.Model"}}},
        ["TRF026", "TRF027"],
    ),
    "code of the hub": (
        {"config.json": {**GOOD["config.json"], "auto_map": {"AutoModel": "org/x--modeling_x.Model"}}},
        ["TRF027"],
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_json_files(name, model_folder):
    """Each fault of the JSON files has its code, and what only looks like one has none."""
    files, expected = FOLDERS[name]
    assert expected == codes(model_folder(files))


def test_two_vocabularies(model_folder, tokenizer_model):
    """tokenizer.json with other ids than tokenizer.model is told; with the same ones it is not."""
    pieces = parse(tokenizer_model.read_bytes()).pieces
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    same = model_folder(
        {"tokenizer.json": {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": []}}
    )
    assert [] == codes(same)
    moved = {**vocabulary, "</s>": 0, "<unk>": 2}
    other = model_folder({"tokenizer.json": {"model": {"vocab": moved}}}, "other")
    assert ["TOK022", "TOK029"] == codes(other)


def test_tokenizer_files_that_are_none(model_folder):
    """A pointer of Git LFS, a page of a server, a JSON file that is cut: each is told by its name."""
    for number, text in enumerate(
        (b"version https://git-lfs.github.com/spec/v1\n", b"<html>", b"\x0a\xff\xff")
    ):
        folder = model_folder(name=f"m{number}")
        (folder / "tokenizer.model").write_bytes(text)
        assert ["TOK028"] == codes(folder)
    folder = model_folder(name="cut")
    (folder / "tokenizer_config.json").write_text("{")
    assert "TOK028" in codes(folder)
    assert ["TOK028"] == codes(
        model_folder({"tokenizer_config.json": None, "special_tokens_map.json": None}, "w", False)
    )


def test_llama_3_has_another_tokenizer_model(model_folder):
    """A tiktoken list by the name of tokenizer.model is no fault."""
    folder = model_folder()
    (folder / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")
    assert [] == codes(folder)


def test_whole_weights(model_folder):
    """Weights that fit config, index and layers fail nothing; so in shards."""
    folder = model_folder({"config.json": CONFIG})
    shard(folder / "model.safetensors", TENSORS)
    assert [] == codes(folder)
    folder = model_folder({"config.json": CONFIG}, "shards")
    sharded(folder)
    assert [] == codes(folder)


def sharded(folder, index=None):
    """The tensors in two shards with an index."""
    names = sorted(TENSORS)
    files = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    for file, inside in files.items():
        shard(folder / file, {name: TENSORS[name] for name in inside})
    where = {name: file for file, inside in files.items() for name in inside}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {**where, **(index or {})}})
    )


def test_shards(model_folder):
    """A shard that is gone, a pointer, a cut one, an index of another saving."""
    second = "model-00002-of-00002.safetensors"
    for number, (change, expected) in enumerate(
        (
            (lambda folder: (folder / second).unlink(), ["TRF021"]),
            (
                lambda folder: (folder / second).write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
                ["TRF022"],
            ),
            (lambda folder: os.truncate(folder / second, 300), ["TRF023"]),
            (lambda folder: sharded(folder, {"model.norm.weight": second}), ["TRF024"]),
        )
    ):
        folder = model_folder({"config.json": CONFIG}, f"m{number}")
        sharded(folder)
        change(folder)
        assert expected == codes(folder)


WEIGHTS = {
    "an embedding of other rows": (lambda t: {**t, "model.embed_tokens.weight": (401, 4)}, ["TRF030"]),
    "an embedding of other width": (lambda t: {**t, "model.embed_tokens.weight": (400, 8)}, ["TRF030"]),
    "no head": (lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"}, ["TRF031"]),
    "a layer less": (lambda t: {k: v for k, v in t.items() if ".1." not in k}, ["TRF031"]),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_against_the_config(name, model_folder):
    """Sizes and layers that config.json counts differently are told before anything is loaded."""
    change, expected = WEIGHTS[name]
    folder = model_folder({"config.json": CONFIG})
    shard(folder / "model.safetensors", change(TENSORS))
    assert expected == codes(folder)


def test_a_pickle_is_never_unpickled(model_folder, tmp_path):
    """A .bin that would make a file is read, named, and makes none."""
    folder = model_folder()
    mark = tmp_path / "mark"
    text = f"touch {mark}".encode()
    pickle = b"\x80\x02cposix\nsystem\nX" + struct.pack("<I", len(text)) + text + b"\x85R."
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as made:
        made.writestr("archive/data.pkl", pickle)
    assert (["TRF023", "TRF029"], False) == (codes(folder), mark.exists())


def test_a_newer_pickle(model_folder):
    """A .bin that was written after the safetensors is not what is loaded."""
    folder = model_folder({"config.json": CONFIG})
    shard(folder / "model.safetensors", TENSORS)
    shutil.copy(folder / "model.safetensors", folder / "pytorch_model.bin")
    os.utime(folder / "model.safetensors", (10**9, 10**9))
    assert ["TRF032"] == codes(folder)


TEMPLATES = {
    "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}": 0,
    "{%- if a -%}x{%- elif b -%}y{%- else -%}z{%- endif -%}": 0,
    "{% set x = '%}' %}{{ x }}": 0,
    "{% set x %}text{% endset %}": 0,
    "{{ {'a': {'b': 1}} }}": 0,
    "{# {% if #}text": 0,
    "{% raw %}{% if %}{{{% endraw %}": 0,
    "{% generation %}{{ m }}{% endgeneration %}": 0,
    "{% macro f(a='=') %}x{% endmacro %}": 0,
    "{% for m in messages %}": 1,
    "{% if a %}{% endfor %}": 1,
    "{% endif %}": 1,
    "{{ bos_token }": 1,
    "{% else %}": 1,
    "{# comment": 1,
}


@pytest.mark.parametrize("text", TEMPLATES)
def test_templates(text):
    """Only what Jinja certainly refuses is a fault."""
    assert TEMPLATES[text] == len(template_faults(text))
