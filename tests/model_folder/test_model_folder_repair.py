"""An old conversion mended: as a diff first, then on the disk with every original kept, and undone again."""

import json
from pathlib import Path

import pytest
from model_folders import OLD
from overlaid import run_over

from envdoc.doctor.errors import EnvdocError, FixError
from envdoc.doctor.model_repair.apply import apply, undo
from envdoc.doctor.model_repair.plan import make_plan

READ = Path(__file__).parent / "read_tokenizer.py"


def contents(folder):
    """Every file of the folder, byte by byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_plan_changes_nothing(model_folder):
    """The plan is a diff of four files, and the folder is as it was."""
    folder = model_folder(OLD)
    before = contents(folder)
    plan = make_plan(folder)
    text = plan.text()
    assert sorted(OLD) == sorted(change.path.name for change in plan.changes)
    assert '-  "eos_token": "",\n' in text and '+  "eos_token": "</s>",\n' in text
    assert '-  "eos_token_id": 1' in text and '+  "eos_token_id": 2' in text
    assert before == contents(folder)


def test_apply_keeps_and_undo_restores(model_folder):
    """Originals lie beside, a second plan is empty, and undoing gives every byte back."""
    folder = model_folder(OLD)
    before = contents(folder)
    kept = apply(make_plan(folder))
    assert {name + ".envdoc-original" for name in OLD} == {path.name for path in kept}
    assert {path.name: before[path.name[: -len(".envdoc-original")]] for path in kept} == {
        path.name: path.read_bytes() for path in kept
    }
    assert () == make_plan(folder).changes
    assert sorted(OLD) == sorted(undo(folder))
    assert before == contents(folder)


def test_the_first_original_is_never_written_over(model_folder):
    """A second repair keeps the original of the first."""
    folder = model_folder(OLD)
    original = (folder / "config.json").read_bytes()
    apply(make_plan(folder))
    (folder / "config.json").write_text(json.dumps({**OLD["config.json"], "eos_token_id": 7}))
    apply(make_plan(folder))
    assert original == (folder / "config.json.envdoc-original").read_bytes()
    assert 2 == json.loads((folder / "config.json").read_text())["eos_token_id"]


def test_a_file_that_changed_meanwhile_is_left_alone(model_folder):
    """Nothing is written over what the plan has not seen, and what was done before is put back."""
    folder = model_folder(OLD)
    plan = make_plan(folder)
    (folder / "generation_config.json").write_text("{}")
    before = contents(folder)
    with pytest.raises(FixError, match="changed meanwhile"):
        apply(plan)
    after = {name: data for name, data in contents(folder).items() if not name.endswith("-original")}
    assert before == after


def test_a_link_of_the_cache_stays_whole(model_folder, tmp_path):
    """The hub's cache shares blobs by links: the link becomes a file, the blob is not changed."""
    folder = model_folder(OLD)
    blob = tmp_path / "blob"
    (folder / "config.json").rename(blob)
    (folder / "config.json").symlink_to(blob)
    before = blob.read_bytes()
    apply(make_plan(folder))
    assert before == blob.read_bytes() == (folder / "config.json.envdoc-original").read_bytes()
    assert 2 == json.loads((folder / "config.json").read_text())["eos_token_id"]


def test_a_good_folder_needs_nothing(model_folder):
    """No change where nothing is wrong."""
    assert () == make_plan(model_folder()).changes


def test_without_a_tokenizer_config(model_folder):
    """The file is made, marked as made, and taken away again by undoing."""
    folder = model_folder({"tokenizer_config.json": None, "special_tokens_map.json": None})
    before = contents(folder)
    apply(make_plan(folder))
    made = json.loads((folder / "tokenizer_config.json").read_text())
    assert ("</s>", True) == (made["eos_token"], made["add_bos_token"])
    undo(folder)
    assert before == contents(folder)


UNSURE = {
    "another class": {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "eos_token": ""}},
    "another model": {"tokenizer_config.json": {"eos_token": ""}, "config.json": {"model_type": "gpt2"}},
    "an end of its own": {
        "tokenizer_config.json": {**OLD["tokenizer_config.json"], "eos_token": "<|im_end|>"}
    },
    "another vocabulary": {**OLD, "tokenizer.json": {"model": {"vocab": {"<s>": 5, "</s>": 6, "<unk>": 7}}}},
}


@pytest.mark.parametrize("name", UNSURE)
def test_refuses_where_unsure(name, model_folder):
    """Where something says that tokenizer.model is not all, nothing is planned."""
    with pytest.raises(EnvdocError):
        make_plan(model_folder(UNSURE[name]))


def test_refuses_without_a_tokenizer_model(model_folder):
    """Without tokenizer.model nothing tells the right tokens; a broken one tells none."""
    with pytest.raises(EnvdocError, match="cannot be read"):
        make_plan(model_folder(OLD, "without", tokenizer=False))
    folder = model_folder(OLD)
    (folder / "tokenizer.model").write_bytes(b"\x0a\xff")
    with pytest.raises(EnvdocError, match="no SentencePiece model"):
        make_plan(folder)


def test_the_manner_of_the_file_stays(model_folder):
    """Indent, order of keys, letters beyond ASCII and the last newline are as before."""
    folder = model_folder(OLD)
    text = json.dumps({"名": "é", **OLD["config.json"]}, indent=4, ensure_ascii=False)
    (folder / "config.json").write_text(text, encoding="utf-8")
    apply(make_plan(folder))
    expected = text.replace('"bos_token_id": 0', '"bos_token_id": 1').replace(
        '"eos_token_id": 1', '"eos_token_id": 2'
    )
    assert expected.replace("LLaMAFor", "LlamaFor") == (folder / "config.json").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("overlays", [(), ("transformers-4.31.0", "accelerate-0.30.1")], ids=["5.23", "4.31"])
def test_real_tokenizers_read_the_mended_folder(overlays, model_folder, patient):
    """LlamaTokenizer and AutoTokenizer of both read bos 1, eos 2, unk 0, and begin with bos; before they do not."""
    folder = model_folder(OLD)
    before = json.loads(run_over(patient, READ, [folder], *overlays).splitlines()[-1])
    apply(make_plan(folder))
    after = json.loads(run_over(patient, READ, [folder], *overlays).splitlines()[-1])
    good = {"ids": [1, 2, 0], "first": 1, "config": [1, 2]}
    assert {"slow": good, "auto": good} == after
    assert "error" in before["auto"]
    assert good != before["slow"]
