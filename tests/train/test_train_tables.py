"""Parquet and the folders of `save_to_disk`, written and read by the real libraries, in the target."""

import sys

import pytest

from envdoc.train.config import Data
from envdoc.train.data import iterate_rows
from envdoc.train.errors import DataError


def refusal(path):
    with pytest.raises(DataError) as caught:
        list(iterate_rows(Data(path=str(path))))
    return caught.value.message.replace(f"`{path}`", "FILE")


TABLES = r"""
import datasets, pyarrow, pyarrow.parquet
from pathlib import Path
from envdoc.train.config import Data
from envdoc.train.data import iterate_rows
from envdoc.train.errors import DataError

datasets.disable_progress_bars()
def turn(i):
    return [{"role": "user", "content": f"Q{i}"}, {"role": "assistant", "content": f"A{i} \u2028 😀"}]
turns = [turn(i) for i in range(2500)]
chats = datasets.Dataset.from_dict({"messages": turns, "vector": [[0.5] * 3] * 2500, "id": list(range(2500))})
alpaca = datasets.Dataset.from_dict({"instruction": ["Q0", "Q1"], "input": [None, ""], "output": ["A0", "A1"]})
chats.to_parquet("chats.parquet", batch_size=700)
alpaca.to_parquet("alpaca.parquet")
with_format = chats.with_format("torch", columns=["vector"])  # as the seed's users saved theirs
with_format.save_to_disk("saved", num_shards=2)
chats.shuffle(seed=1).select(range(3)).save_to_disk("picked")
datasets.DatasetDict({"train": chats, "test": alpaca}).save_to_disk("splits")
lists = {"from": ["human", "gpt"], "value": ["Q0", "A0"]}  # as `Sequence` of old releases stores a list of objects
datasets.Dataset.from_dict({"conversations": [lists]}).save_to_disk("sequence")
datasets.DatasetDict({"train": chats, "test": alpaca}).save_to_disk("newer")  # by a release that knows another type
for told in Path("newer").glob("*/dataset_info.json"):
    told.write_text(told.read_text().replace('"Value"', '"Tomorrow"'))
nulls = pyarrow.table({"instruction": ["Q0", None], "output": ["A0", "A1"]})
pyarrow.parquet.write_table(nulls, "null.parquet")
whole = Path("chats.parquet").read_bytes()
Path("cut.parquet").write_bytes(whole[: len(whole) // 2])

def read(path, split=None):
    return [(row.number, [m["content"] for m in row.messages]) for row in iterate_rows(Data(path=path, split=split))]
def refused(path, split=None):
    try:
        return read(path, split)
    except DataError as error:
        return [error.message, error.hint]
expected = [(i + 1, [m["content"] for m in turn]) for i, turn in enumerate(turns)]
print(json.dumps({
    "equal": {name: read(name) == expected for name in ("chats.parquet", "saved", "splits", "newer")},
    "alpaca": read("alpaca.parquet"), "test": read("splits", "test"), "newer test": read("newer", "test"),
    "sequence": read("sequence"),
    "picked": [number for number, _ in read("picked")],
    "missing": refused("splits", "dev"), "newer missing": refused("newer", "dev"), "single": refused("saved", "train"),
    "null": refused("null.parquet"), "cut": refused("cut.parquet"),
}))
"""


@pytest.fixture(scope="module")
def tables(inside, tmp_path_factory):
    """What was read of each, from one child; the folder stays for those that look again."""
    folder = tmp_path_factory.mktemp("tables")
    return folder, inside(folder, TABLES)


def test_parquet_and_saved_data_sets_give_the_same_rows(tables):
    """Row groups, shards, a format saved with the set, columns of no use, a set that a newer `datasets` wrote."""
    found = tables[1]
    two = [[1, ["Q0", "A0"]], [2, ["Q1", "A1"]]]

    assert {"chats.parquet": True, "saved": True, "splits": True, "newer": True} == found["equal"]
    assert [two, two, two, two[:1], [1, 2, 3]] == [
        found[k] for k in ("alpaca", "test", "newer test", "sequence", "picked")
    ]


def test_a_table_that_cannot_be_trained_on_is_told(tables):
    """A split that is not there, an empty cell, half a file."""
    found = tables[1]

    assert ["`splits` has no split `dev`.", "Set `data.split` to one of: train, test."] == found["missing"]
    assert "`data.split` is `train`, and `saved` is one data set without splits." == found["single"][0]
    assert ["`newer` has no split `dev`.", found["missing"][1]] == found["newer missing"]
    assert "`null.parquet`, row 2, has an empty `instruction`." == found["null"][0]
    assert found["cut"][0].startswith(
        "`cut.parquet` cannot be read as Parquet: Parquet magic bytes not found"
    )


def test_a_missing_library_is_told(tables, monkeypatch):
    """The tests' own interpreter has neither pyarrow nor datasets: one sentence each, and what to do."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "datasets", None)

    assert "FILE is Parquet, and this interpreter has no pyarrow to read it." == refusal(
        tables[0] / "null.parquet"
    )
    assert (
        "FILE is a folder of `save_to_disk`, and this interpreter has no `datasets` to read it."
        == refusal(tables[0] / "saved")
    )


def test_tables_are_trained_on(tables, launch_many):
    """A saved data set, one of its splits, Parquet, and rows that are not held: each goes the whole way to a plan."""
    commands = [
        ["data=saved"],
        ["data=splits", "data.split=test"],
        ["data=chats.parquet", "data.streaming=true"],
    ]
    done = launch_many(tables[0], *(["train", "--dry-run", *words] for words in commands))

    assert [0, 0, 0] == [run["code"] for run in done], done
    for run, count in zip(done, ("2500 rows", "2 rows", "2500 rows")):
        assert count in run["out"].replace(",", "")
