"""Rows that were tokenised elsewhere, as the seed's recipe saves them: read, checked, trained on as the text itself."""

import json

import pytest
from train_children import losses, receipt

from envdoc.train.config import Data, Run
from envdoc.train.data import iterate_rows, read_rows
from envdoc.train.errors import ConfigError, DataError
from envdoc.train.examine.measure import Estimate
from envdoc.train.examine.show import document
from envdoc.train.examine.survey import survey

IDS = [5, 6, 7, 8, 2]


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Data(path=str(path))


def refusal(data, error=DataError):
    with pytest.raises(error) as caught:
        list(iterate_rows(data))
    return caught.value.message.replace(f"`{data.path}`", "FILE")


@pytest.mark.parametrize(
    "row, ids, learnt",
    [
        ({"input_ids": IDS}, IDS, [1, 1, 1, 1, 1]),
        ({"input_ids": IDS, "labels": [-100, -100, 7, 8, 2]}, IDS, [0, 0, 1, 1, 1]),
        ({"input_ids": IDS, "seq_len": 3}, IDS, [0, 0, 0, 1, 1]),
        ({"input_ids": IDS, "seq_len": 3, "labels": [-100, 6, 7, 8, 2]}, IDS, [0, 1, 1, 1, 1]),
        ({"input_ids": IDS, "completion_mask": [0, 0, 1, 1, 1], "length": [5]}, IDS, [0, 0, 1, 1, 1]),
        ({"input_ids": IDS, "assistant_masks": [False, True, True, False, True]}, IDS, [0, 1, 1, 0, 1]),
        ({"input_ids": IDS, "attention_mask": [1] * 5, "token_type_ids": [0] * 5}, IDS, [1, 1, 1, 1, 1]),
        # The end token pads, too, and a label lies on the padding: what the mask leaves is the row.
        ({"input_ids": [5, 6, 2, 2, 2], "labels": [5, 6, 2, 2, 2], "attention_mask": [1, 1, 1, 0, 0]},
         [5, 6, 2], [1, 1, 1]),
        ({"input_ids": [2, 2, 5, 6, 2], "labels": [-100, -100, -100, 6, 2], "attention_mask": [0, 0, 1, 1, 1]},
         [5, 6, 2], [0, 1, 1]),
        ({"input_ids": [5, 6, 2, 2, 2], "length": 3}, [5, 6, 2], [1, 1, 1]),
        ({"input_ids": [5, 6, 2, 2, 2], "length": 5, "attention_mask": [1, 1, 1, 1, 0]}, [5, 6, 2, 2], [1] * 4),
    ],
)  # fmt: skip
def test_ids_and_what_is_learnt_of_them_are_read(tmp_path, row, ids, learnt):
    """Labels, or all; -100 kept; the question's length of ChatGLM-Tuning; TRL's masks; padding cut off by its mask."""
    (read,) = read_rows(write(tmp_path / "rows.jsonl", row))

    assert [(), ids, learnt] == [read.messages, list(read.tokens.ids), list(read.tokens.learnt)]


@pytest.mark.parametrize(
    "row, message",
    [
        ({"input_ids": []}, "holds no token."),
        ({"input_ids": [5, 6], "attention_mask": [0, 0]}, "holds no token."),
        ({"input_ids": [5]}, "teaches nothing: a single token follows no other."),
        ({"input_ids": IDS, "labels": [-100] * 5}, "teaches nothing: every label is -100."),
        ({"input_ids": IDS, "labels": [5, -100, -100, -100, -100]}, "teaches nothing: every label is -100."),
        ({"input_ids": IDS, "completion_mask": [0] * 5},
         "teaches nothing: its `completion_mask` is 0 throughout."),
        ({"input_ids": IDS, "seq_len": 5}, "teaches nothing: by its `seq_len` the question fills it (ChatGLM-Tuning "
         "counts the question alone there)."),
        ({"input_ids": IDS, "seq_len": 9},
         "has 5 ids, and its `seq_len`, which counts the ids of the question, is 9."),
        ({"input_ids": IDS, "length": "long"},
         "has 5 ids, and its `length`, which counts the ids that are no padding, is long."),
        ({"input_ids": IDS, "labels": [6, 7, 8, 2, -100]},
         "has the label 6 where the id is 5 (place 0, from 0): a label is -100 or the id at its own place."),
        ({"input_ids": IDS, "labels": [5, 6]}, "has 5 ids in `input_ids` and 2 values in `labels`."),
        ({"input_ids": IDS, "labels": None}, "has no list of whole numbers in `labels`."),
        ({"input_ids": [IDS]}, "has no list of whole numbers in `input_ids`."),
        ({"input_ids": [5.5, 6]}, "has no list of whole numbers in `input_ids`."),
        ({"input_ids": [5, -100, 6]}, "holds the token id -100; no vocabulary has negative ones."),
        ({"input_ids": IDS, "attention_mask": [1, 1, 1, 2, 2]}, "holds 2 in `attention_mask`, which is 1 or 0."),
        ({"input_ids": IDS, "attention_mask": [1, 1, 0, 1, 1]},
         "has a gap in its `attention_mask`, and padding lies before a row or behind it."),
        ({"messages": []}, "has no `input_ids`, which the first row has."),
    ],
)  # fmt: skip
def test_an_unfit_row_is_refused_by_its_number(tmp_path, row, message):
    """Nothing in it, nothing learnt of it, shifted labels, packed rows, numbers that are none: one sentence."""
    assert f"FILE, row 2, {message}" == refusal(write(tmp_path / "rows.jsonl", {"input_ids": IDS}, row))


@pytest.mark.parametrize("key, value", [("template", "chatml"), ("train_on", "all")])
def test_what_was_settled_by_tokenising_cannot_be_asked_for(tmp_path, key, value):
    """A template, or another choice of what is learnt, would be passed over in silence."""
    data = write(tmp_path / "rows.jsonl", {"input_ids": IDS})

    assert refusal(Data(path=data.path, **{key: value}), ConfigError).startswith(
        f"`data.{key}` is {value}, and the rows of FILE are tokenised already (`input_ids`)"
    )


def test_the_report_counts_ids_and_finds_what_is_repeated(tmp_path):
    """Lengths are those that are stored; refusals, repeats and one question with two answers go by the ids."""
    masked = {"input_ids": IDS, "labels": [-100, -100, 7, 8, 2]}
    other = {"input_ids": [5, 6, 9, 9, 2], "labels": [-100, -100, 9, 9, 2]}
    data = write(
        tmp_path / "rows.jsonl", masked, masked, other, {"input_ids": []}, {"input_ids": [1, 3] * 12}
    )

    found = document(survey(Run(data=Data(path=data.path, max_length=16)), Estimate()))

    assert ["tokens", 4, 1, "tokens", 39, 32] == [
        *(found[key] for key in ("shape", "rows", "refused")),
        found["lengths"]["unit"],
        found["lengths"]["total"],
        found["learnt_tokens"],
    ]
    assert {
        "refused": [4],
        "too-long": [5],
        "duplicates": [2],
        "two-answers": [3],
    } == {remark["code"]: remark["rows"] for remark in found["remarks"]}


SAVE = """
from pathlib import Path
from datasets import Dataset, disable_progress_bars
from envdoc.train.config import Data
from envdoc.train.data import read_rows
from envdoc.train.labels import encode
from envdoc.train.tiny import make_tiny
from transformers import AutoTokenizer

disable_progress_bars()
data = Data(path="rows.jsonl")
text = read_rows(data)
make_tiny(Path("base"), [turn["content"] for row in text for turn in row.messages], 0)
tokenizer = AutoTokenizer.from_pretrained("base")
rows = encode(text, tokenizer, data).rows
longest = max(len(row.input_ids) for row in rows)
def padded(row):
    space = longest - len(row.input_ids)
    return {
        "input_ids": row.input_ids + [tokenizer.eos_token_id] * space,  # as many pad: only the mask tells
        "attention_mask": [1] * len(row.input_ids) + [0] * space,
        "labels": row.labels + [-100] * space,
    }
saved = Dataset.from_list([padded(row) for row in rows])
saved.save_to_disk("saved")
saved.to_parquet("rows.parquet")
cut = {"input_ids": rows[0].input_ids[:-1]}
foreign = {"input_ids": [4, len(tokenizer)]}
for name, listed in (("cut", [cut]), ("foreign", [cut, foreign])):
    with open(name + ".jsonl", "w") as stream:
        stream.writelines(json.dumps(row) + "\\n" for row in listed)
print(json.dumps(len(tokenizer)))
"""


@pytest.fixture(scope="module")
def trained(inside, launch_many, tmp_path_factory):
    """A model's folder; the same rows as text, and as a folder of `save_to_disk` and as Parquet; a run of each."""
    folder = tmp_path_factory.mktemp("tokenised")
    text = [json.dumps({"prompt": f"Say {n}.", "completion": f"{n} it is"}) for n in range(2, 40)]
    (folder / "rows.jsonl").write_text("\n".join(text))
    size = inside(folder, SAVE)
    settings = ["train.steps=3", "train.batch_size=2", "train.accumulation=2"]
    commands = [
        ["train", f"name={name}", "model=base", f"data={data}", *settings]
        for name, data in (("text", "rows.jsonl"), ("saved", "saved"), ("parquet", "rows.parquet"))
    ]
    refused = [
        ["train", "model=base", "data=foreign.jsonl"],
        ["train", "model=tiny", "data=saved"],
        ["data", "foreign.jsonl", "--model", "base", "--format", "json"],
    ]
    return folder, size, launch_many(folder, *commands, *refused)


def test_a_saved_tokenised_set_trains_as_its_text_does(trained):
    """The same tokens are encoded, the same losses come out, bit for bit, of the folder and of Parquet."""
    folder, _, done = trained

    assert [0, 0, 0] == [run["code"] for run in done[:3]], done[:3]
    runs = [folder / "runs" / name for name in ("text", "saved", "parquet")]
    assert 1 == len({receipt(run)["data"]["encoded_sha256"] for run in runs})
    assert losses(runs[0]) == losses(runs[1]) == losses(runs[2])
    assert "template: none, the rows hold token ids." in done[1]["out"]
    (note,) = receipt(runs[1])["data"]["notes"]
    assert note.startswith("The rows hold token ids: that this tokenizer made them is assumed")


def test_ids_of_another_tokenizer_are_refused(trained):
    """By the number of the row; and a model whose tokenizer would be made of the text has no text."""
    _, size, (*_, foreign, tiny, _) = trained

    assert [2, 2] == [foreign["code"], tiny["code"]]
    assert (
        f"Row 2 holds the token id {size}, and the vocabulary of the base model ends at {size - 1}."
        in foreign["err"]
    )
    assert (
        "`model` is tiny, whose tokenizer is made of the rows' text, and those of `saved` hold token ids."
        in tiny["err"]
    )


def test_the_report_with_a_model_looks_the_ids_up(trained):
    """A foreign id is refused; an answer without the end token is told."""
    found = json.loads(trained[2][-1]["out"])

    assert {"refused": [2], "no-end": [1]} == {remark["code"]: remark["rows"] for remark in found["remarks"]}
