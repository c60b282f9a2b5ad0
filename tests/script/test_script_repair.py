"""Repairs: only what must change changes, the text parses, the fault is gone, the original is kept."""

import ast
import json

import pytest
from script_cases import FAULTY, MID, NEW, OLD

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.script.judgement import judge
from envdoc.doctor.script.keep import as_bytes, replace_file
from envdoc.doctor.script.look import see
from envdoc.doctor.script.reader import Source, read_source
from envdoc.doctor.script.repair import REPAIRED_CHECKS, repaired

CASES = [
    pytest.param(check, text, versions, id=f"{check}-{number}")
    for check, rows in FAULTY.items()
    for number, (text, versions) in enumerate(rows)
]


def fix(text, versions):
    return repaired(Source("a.py", text, text.encode()), versions)


def faults(text, versions):
    return [
        (one.check, one.subject) for one in see(ast.parse(text)) if judge(one.check, one.subject, versions)
    ]


@pytest.mark.parametrize(("check", "text", "versions"), CASES)
def test_a_repair_takes_its_fault_away_and_brings_none(check, text, versions):
    """What is left are the faults that were not repaired; a second run repairs nothing."""
    done = fix(text, versions)
    before, after = faults(text, versions), faults(done.text, versions)
    assert len(before) - len(done.repairs) == len(after) == len(done.left)
    assert set(after) <= set(before)
    assert () == fix(done.text, versions).repairs


def test_every_kind_of_repair_is_made_somewhere():
    """Each maker mends at least one of the faulty scripts."""
    made = {r.check for rows in FAULTY.values() for text, v in rows for r in fix(text, v).repairs}
    assert set(REPAIRED_CHECKS) == made


@pytest.mark.parametrize(
    ("before", "after", "versions"),
    [
        (
            'a = TrainingArguments(\n    "é",  # kept\n    evaluation_strategy = "steps",  # too\n)\n',
            'a = TrainingArguments(\n    "é",  # kept\n    eval_strategy = "steps",  # too\n)\n',
            NEW,
        ),
        (
            "t = Trainer(model=m, tokenizer=tokenizer)\n",
            "t = Trainer(model=m, processing_class=tokenizer)\n",
            NEW,
        ),
        ("t = Trainer(model=m, tokenizer=tokenizer)\n", "t = Trainer(model=m, tokenizer=tokenizer)\n", MID),
    ],
)
def test_text_around_a_repair_stays(before, after, versions):
    """Blanks, comments and letters of two bytes stay where they are."""
    head = "from transformers import Trainer, TrainingArguments\n"
    assert head + after == fix(head + before, versions).text


def test_adamw_keeps_its_defaults():
    """torch's AdamW decays weights by default, which transformers' own did not."""
    done = fix("from transformers import AdamW, Trainer\no = AdamW(p, lr=1e-4)  # x\n", NEW)
    assert (
        "from torch.optim import AdamW\nfrom transformers import Trainer\n"
        "o = AdamW(p, lr=1e-4, eps=1e-6, weight_decay=0.0)  # x\n" == done.text
    )
    refused = "from transformers import AdamW\no = AdamW(p, correct_bias=False)\n"
    assert refused == fix(refused, NEW).text


def test_the_override_goes_with_what_it_needed():
    """The saved method goes too where nothing else uses it, and the lines beside them stay."""
    text = (
        "from peft import get_peft_model_state_dict\nx = 1\nold = model.state_dict\nmodel.state_dict = (\n"
        "    lambda self, *_, **__: get_peft_model_state_dict(self, old())\n).__get__(model, type(model))\ny = 2\n"
    )
    assert "from peft import get_peft_model_state_dict\nx = 1\ny = 2\n" == fix(text, MID).text


def test_line_ends_of_windows_stay():
    """No line end is changed, and a line that is put in has the same."""
    text = (
        "from peft import get_peft_model\r\nm = get_peft_model(m, c)\r\nm.gradient_checkpointing_enable()\r\n"
    )
    assert text.replace("m.grad", "m.enable_input_require_grads()\r\nm.grad") == fix(text, MID).text


def notebook(source):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# é\n"]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "outputs": [{"data": "Ã "}],
            "source": source,
        },
    ]
    return json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("as_list", [True, False])
def test_only_the_source_of_a_cell_changes(tmp_path, as_list):
    """Every byte of a notebook but the changed lines of the cell is as it was, magics too."""
    lines = ["%%time\n", "!pip install \\\n", "  x\n", "from transformers import TrainingArguments\n"]
    lines += ['TrainingArguments("o", evaluation_strategy="no")']
    source = lines if as_list else "".join(lines)
    path = tmp_path / "a.ipynb"
    path.write_bytes(notebook(source).encode())
    read = read_source(path)
    done = repaired(read, NEW)
    assert [("unknown-argument", (2, 5))] == [(r.check, read.place(r.line)) for r in done.repairs]
    expected = path.read_bytes().replace(b"evaluation_strategy", b"eval_strategy")
    assert expected == as_bytes(read, done.text)


def test_a_line_more_in_a_notebook(tmp_path):
    """A repair that puts a line in keeps the form of the list."""
    lines = [
        "from peft import get_peft_model\n",
        "m = get_peft_model(m, c)\n",
        "m.gradient_checkpointing_enable()",
    ]
    path = tmp_path / "a.ipynb"
    path.write_bytes(notebook(lines).encode())
    read = read_source(path)
    data = as_bytes(read, repaired(read, MID).text)
    assert notebook([*lines[:2], "m.enable_input_require_grads()\n", lines[2]]).encode() == data


def test_the_original_is_kept_and_never_overwritten(tmp_path):
    """Each original has a name of its own; mode and link stay."""
    real, path = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("one\n")
    real.chmod(0o750)
    path.symlink_to(real)
    assert "real.py.envdoc-original" == replace_file(read_source(path), b"two\n").name
    assert "real.py.envdoc-original.1" == replace_file(read_source(path), b"three\n").name
    assert ("one\n", "two\n", "three\n") == tuple(
        (tmp_path / name).read_text()
        for name in ("real.py.envdoc-original", "real.py.envdoc-original.1", "real.py")
    )
    assert (True, 0o750) == (path.is_symlink(), real.stat().st_mode & 0o777)
    assert 4 == len(list(tmp_path.iterdir()))


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path):
    """What somebody saved since is not overwritten."""
    path = tmp_path / "a.py"
    path.write_text("one\n")
    source = read_source(path)
    path.write_text("other\n")
    with pytest.raises(EnvdocError, match="changed while"):
        replace_file(source, b"two\n")
    assert "other\n" == path.read_text()


def test_old_versions_are_not_repaired_towards_new_ones():
    """What fits the installed version stays."""
    text = 'from transformers import AdamW, TrainingArguments\na = TrainingArguments("o", evaluation_strategy="no")\n'
    assert (text, ()) == (fix(text, OLD).text, fix(text, OLD).repairs)
