"""`envdoc data` as a user has it: rows in, a page or a document out, and no environment needed for plain files."""

import json
import os
import sys

import pytest

GOOD = '{"instruction": "Q", "output": "A"}\n'
BARE = {
    "PATH": "",
    "HOME": os.environ.get("HOME", "/"),
}  # no environment is active, and no Python can be found


@pytest.mark.parametrize(
    "name, text", [("a.jsonl", GOOD), ("b.json", f"[{GOOD}]"), ("c.csv", "prompt,completion\nQ,A\n")]
)
def test_plain_files_need_no_environment(envdoc, tmp_path, name, text):
    """Where no Python for training is found, rows are read all the same, by the interpreter of envdoc itself."""
    (tmp_path / name).write_text(text)

    done = envdoc("data", name, env=BARE)

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(f"{name}: 1 row of the shape")
    assert done.stdout.endswith("Fit to train on, no warning.\n")


def test_unfit_rows_end_with_one_and_a_document(envdoc, tmp_path):
    """Exit code 1, every remark in the document, nothing else on standard output."""
    (tmp_path / "a.jsonl").write_text(GOOD * 3 + '{"instruction": "Q", "output": ""}\n{"instruction"\n')

    done = envdoc("data", "a.jsonl", "--format", "json", "data.max_length=16")
    document = json.loads(done.stdout)

    assert (1, "", 1, False) == (done.returncode, done.stderr, document["schema_version"], document["fit"])
    assert [("refused", [4]), ("refused", [5]), ("duplicates", [2, 3])] == [
        (remark["code"], remark["rows"]) for remark in document["remarks"]
    ]


@pytest.mark.parametrize(
    "words, message",
    [
        (["none.jsonl"], "error: There is no data file `none.jsonl`."),
        (["a.jsonl", "b.jsonl"], "error: Two files were given: `a.jsonl` and `b.jsonl`."),
        (["a.jsonl", "--format", "xml"], "error: `--format xml` is none of text, json."),
        (["a.jsonl", "data.max_lenght=9"], "error: the command line has the unknown key `data.max_lenght`."),
        (["a.jsonl", "--python", sys.executable, "--model", "m"], "error: `{}` cannot import what training needs: "),
        (["a.parquet", "--python", sys.executable], "error: `a.parquet` is Parquet, and this interpreter has no"),
        (["m", "--python", sys.executable], "error: `m` is a model's folder, and no data."),
    ],
)  # fmt: skip
def test_misuse_ends_with_two_and_a_sentence(envdoc, tmp_path, words, message):
    """Missing files, unknown keys and missing libraries: one sentence each, no traceback."""
    (tmp_path / "a.jsonl").write_text(GOOD)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")

    done = envdoc("data", *words)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(message.format(sys.executable)), done.stderr
