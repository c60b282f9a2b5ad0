"""Reading scripts and notebooks: what cannot be read is one clear message."""

import json

import pytest

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.script.look import look_at
from envdoc.doctor.script.reader import without_magics


def look(tmp_path, text, name="a.py"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return look_at([path]).files[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import os\nprint 'loss', x\n", "it is written for Python 2"),
        ("try:\n    pass\nexcept ValueError, e:\n    pass\n", "it is written for Python 2"),
        ("import os\nx = (\n", "the parser says"),
        (b"x = 1\0\n", ""),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, text, reason):
    """One sentence, and nothing is seen."""
    file = look(tmp_path, text)
    assert (True, True, ()) == (bool(file.problem), file.problem.startswith(reason), file.seen)


def test_a_cell_and_its_line_are_named(tmp_path):
    """Lines count within the cell, cells over the whole notebook."""
    cells = [
        {"cell_type": "markdown", "source": "x"},
        {"cell_type": "code", "source": "!pip install transformers\nimport os\n"},
        {"cell_type": "code", "source": "\nfrom peft import prepare_model_for_int8_training\n"},
    ]
    file = look(tmp_path, json.dumps({"cells": cells}), "a.ipynb")
    assert [("removed-import", 3, 2)] == [
        (one.check, one.cell, one.line) for one in file.seen if one.check == "removed-import"
    ]


@pytest.mark.parametrize(
    ("code", "plain"),
    [
        ("!ls\nx = 1\n", "pass\nx = 1\n"),
        ("if a:\n    %time f()\n", "if a:\n    pass\n"),
        ("y = !ls\n", "y = None\n"),
        ("x = 5 % 3\n", "x = 5 % 3\n"),
        ('t = """\n% not magic\n"""\n', 't = """\n% not magic\n"""\n'),
        ("x.fit?\n", "pass\n"),
        ("%%bash\nls\n", "#%%bash\n#ls\n"),
        ("%%capture\nimport os\n", "pass\nimport os\n"),
    ],
)
def test_magics_are_taken_out(code, plain):
    """Magics become statements that do nothing; every other line stays."""
    assert plain == without_magics(code)


def test_a_module_beside_the_script_is_not_missing(tmp_path):
    """A local wandb.py is what the script imports."""
    (tmp_path / "wandb.py").write_text("")
    assert [] == [one.subject for one in look(tmp_path, "import wandb\n").seen]


@pytest.mark.parametrize(("name", "text"), [("a.ipynb", "no json"), ("b.ipynb", "[]"), ("c.ipynb", "{}")])
def test_a_notebook_that_is_none_is_misuse(tmp_path, name, text):
    """It ends with a sentence, not with a traceback."""
    with pytest.raises(EnvdocError):
        look(tmp_path, text, name)


def test_a_missing_file_is_misuse(tmp_path):
    """So does a file that is not there."""
    with pytest.raises(EnvdocError, match="cannot be read"):
        look_at([tmp_path / "none.py"])


def test_nothing_of_the_script_runs(tmp_path):
    """The script is read, never executed."""
    mark = tmp_path / "ran"
    look(tmp_path, f"open({str(mark)!r}, 'w')\n")
    assert not mark.exists()


def test_an_advisory_can_ask_for_a_check(tmp_path):
    """The snapshot's branch is what the condition `script:CHECK` is asked of."""
    import dataclasses

    from envdoc.doctor.advisories.conditions import holds

    path = tmp_path / "a.py"
    path.write_text("from peft import prepare_model_for_int8_training\n")
    facts = {"script": dataclasses.asdict(look_at([path]))}
    facts = json.loads(json.dumps(facts))
    assert (True, False) == tuple(
        holds([f"script:{name}"], [], facts) for name in ("removed-import", "pad-is-eos")
    )
