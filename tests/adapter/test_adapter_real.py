"""Adapters that real peft trained and real torch saved: read without either, told apart, rescued, and loaded again."""

import json
import shutil

import pytest

from envdoc.doctor.adapter.compare import compare
from envdoc.doctor.adapter.folder import read_folder
from envdoc.doctor.adapter.judge import Peft, judge
from envdoc.doctor.adapter.peft_fields import lora_fields
from envdoc.doctor.adapter.rescue import rescue
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.weights import pickled, safetensors
from envdoc.doctor.weights.numbers import floats

OLD = ("peft-0.3.0", "transformers-4.28.1")
OLDEST = ("peft-0.2.0", "transformers-4.28.1")


def failed(path):
    """The checks that make that folder unreal."""
    return sorted({check.name for check in judge(read_folder(path), Peft()).checks if check.failed})


def test_what_new_peft_saves(trained):
    """Each way of saving has the verdict that its reload has earned it."""
    root = trained()
    assert {
        "plain": [],
        "fresh": ["lora_B"],
        "modified": ["keys"],
        "old-names": [],
        "legacy": [],
        "legacy-modified": ["keys"],
        "transposed": [],
        "parameters": [],
        "override": [],  # peft 0.20 and later saves it whole
        "code": ["pickle"],  # a method is pickled through builtins.getattr, as attacks are
    } == {path.name: failed(path) for path in root.iterdir() if path.is_dir()}


def test_torch_files_are_read_without_torch(trained):
    """A zip, the form before torch 1.6, transposed tensors and parameters hold the numbers of the safetensors file."""
    root = trained()
    (plain,) = read_folder(root / "plain").archives
    expected = {name: [list(block) for block in floats(t)] for name, t in plain.tensors.items()}
    for name in ("old-names", "legacy", "transposed", "parameters"):
        found = pickled.read(root / name / "adapter_model.bin")
        assert ("", ()) == (found.problem, found.faults)
        assert expected == {key: [list(block) for block in floats(t)] for key, t in found.tensors.items()}, (
            name
        )


def test_a_pickle_that_names_code_is_told(trained):
    """What no tensor needs is named, and nothing of it is called."""
    (archive,) = read_folder(trained() / "code").archives
    assert any("Path" in name or "getattr" in name for name in archive.foreign)


def test_a_pickle_that_runs_code_makes_it_unreal(tmp_path, trained):
    """os.system in the pickle of a zip: named, grave, and not run."""
    source = trained() / "old-names"
    path = tmp_path / "evil"
    shutil.copytree(source, path)
    import zipfile

    with zipfile.ZipFile(path / "adapter_model.bin", "w") as made:
        made.writestr("archive/data.pkl", b"\x80\x02cposix\nsystem\nX\x05\x00\x00\x00touch\x85R.")
        made.writestr("archive/version", b"3\n")
    assert ["file", "pickle"] == failed(path)
    with pytest.raises(EnvdocError):
        rescue(read_folder(path), tmp_path / "out")


def test_two_adapters(trained):
    """The same numbers in two formats are equal; a trained and a fresh one differ in every layer, by number."""
    root = trained()
    plain = read_folder(root / "plain")
    same = compare(plain, read_folder(root / "modified"))
    assert (True, 8, 8) == (same.equal, same.compared, same.renamed)
    other = compare(plain, read_folder(root / "fresh"))
    assert (False, 8, 4) == (other.equal, len(other.rows), len(other.layers()))
    assert {"values"} == {row.state for row in other.rows}
    row = next(row for row in other.rows if "layers.0.self_attn.q_proj.lora_B" in row.name)
    assert pytest.approx(1.0) == row.relative  # the other one is zero


def test_two_adapters_of_other_shape(trained, tmp_path):
    """What only one has, what has another shape, and which keys of the config differ."""
    root = trained()
    shutil.copytree(root / "plain", tmp_path / "other")
    (archive,) = read_folder(root / "plain").archives
    names = sorted(archive.tensors)
    fewer = [(name, archive.tensors[name]) for name in names[1:]]
    safetensors.write(tmp_path / "other" / "adapter_model.safetensors", fewer)
    config = json.loads((root / "plain" / "adapter_config.json").read_text())
    (tmp_path / "other" / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 16}))
    found = compare(read_folder(root / "plain"), read_folder(tmp_path / "other"))
    assert [(names[0], "only first")] == [(row.name, row.state) for row in found.rows]
    assert (("lora_alpha", 8, 16),) == found.config


def test_rescue_changes_names_alone(trained, tmp_path):
    """The new folder holds every number and small file of the old one, which is untouched; it is real."""
    source = trained() / "modified"
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    changed, file = rescue(read_folder(source), tmp_path / "out")

    assert (8, [], "adapter_model.bin") == (changed, failed(tmp_path / "out"), file.name)
    assert before == {path.name: path.read_bytes() for path in source.iterdir()}
    assert before.keys() == {path.name for path in (tmp_path / "out").iterdir()}
    assert compare(read_folder(source), read_folder(tmp_path / "out")).equal


def test_rescue_of_safetensors(trained, tmp_path):
    """Names are mended in safetensors too, and the metadata goes along."""
    (archive,) = read_folder(trained() / "modified").archives
    source = tmp_path / "named"
    source.mkdir()
    safetensors.write(source / "adapter_model.safetensors", archive.tensors.items(), {"format": "pt"})
    shutil.copy(trained() / "modified" / "adapter_config.json", source)
    assert ["keys"] == failed(source)
    changed, file = rescue(read_folder(source), tmp_path / "out")
    assert (8, {"format": "pt"}, []) == (changed, safetensors.read(file).metadata, failed(tmp_path / "out"))


@pytest.mark.parametrize("name", ["plain", "override-of-old", "legacy-modified"])
def test_what_cannot_be_rescued(name, trained, tmp_path):
    """Names that are right already, no tensor at all, a file of before torch 1.6: refused, and nothing is left."""
    source = trained() / ("plain" if name == "override-of-old" else name)
    if name == "override-of-old":
        shutil.copytree(source, tmp_path / "empty")
        source = tmp_path / "empty"
        safetensors.write(source / "adapter_model.safetensors", [])
    with pytest.raises(EnvdocError):
        rescue(read_folder(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_rescue_writes_over_nothing(trained, tmp_path):
    """A folder that is there stays as it is."""
    (tmp_path / "out").mkdir()
    with pytest.raises(EnvdocError, match="nothing is ever written over"):
        rescue(read_folder(trained() / "modified"), tmp_path / "out")


def test_the_fields_of_the_installed_peft(patient):
    """The keys that peft itself has written are all known, and it says itself that it passes over others."""
    location = next(patient.parent.parent.glob("lib/python3*/site-packages"))
    fields, tolerant = lora_fields(str(location))
    assert fields is not None
    assert {"r", "lora_alpha", "use_dora", "base_model_name_or_path", "peft_type"} <= fields
    assert tolerant


@pytest.mark.slow
def test_the_seeds_adapter_is_rescued_for_its_own_peft(trained, answers, tmp_path):
    """peft 0.3.0: what ModifiedTrainer saved loads nothing; the rescued folder gives the tuned logits; so in 0.2.0."""
    root = trained(*OLD)
    assert {"modified": ["keys"], "override": ["file"], "plain": [], "fresh": ["lora_B"]} == {
        name: failed(root / name) for name in ("modified", "override", "plain", "fresh")
    }
    rescue(read_folder(root / "modified"), tmp_path / "rescued")
    assert ("base", "tuned") == (
        answers(root, root / "modified", *OLD),
        answers(root, tmp_path / "rescued", *OLD),
    )
    assert ("base", "tuned") == (
        answers(root, root / "modified", *OLDEST),
        answers(root, tmp_path / "rescued", *OLDEST),
    )


@pytest.mark.slow
def test_the_newest_peft_loads_both(trained, answers, tmp_path):
    """peft 0.21 loads such names, which is why their verdict tells of older ones; it loads the rescued folder too."""
    root = trained()
    rescue(read_folder(root / "modified"), tmp_path / "rescued")
    assert ("tuned", "tuned") == (answers(root, root / "modified"), answers(root, tmp_path / "rescued"))
    (archive,) = read_folder(root / "modified").archives
    (tmp_path / "safe").mkdir()
    safetensors.write(
        tmp_path / "safe" / "adapter_model.safetensors", archive.tensors.items(), {"format": "pt"}
    )
    shutil.copy(root / "modified" / "adapter_config.json", tmp_path / "safe")
    rescue(read_folder(tmp_path / "safe"), tmp_path / "rescued-safe")
    assert "tuned" == answers(root, tmp_path / "rescued-safe")
