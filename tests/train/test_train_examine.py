"""`envdoc data`: what is said of a data set, and what is not said of a healthy one."""

import json
import random
from pathlib import Path

import pytest

from envdoc.train.config import Data, Run
from envdoc.train.data import BUNDLED_FILE
from envdoc.train.errors import DataError
from envdoc.train.examine.command import examine
from envdoc.train.examine.comparisons import SENTENCES
from envdoc.train.examine.measure import Estimate
from envdoc.train.examine.show import lines
from envdoc.train.examine.survey import survey
from envdoc.train.examine.texts import SAYINGS

dice = random.Random(5)
WORDS = [
    f"{a}{b}"
    for a in ("ka", "lo", "mi", "ru", "te", "vo")
    for b in ("", "na", "rd", "st", "lk", "mp", "sh", "nt")
]


def chat(question, answer, *more):
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": [*turns, *more]}


def prose(words=40):
    return " ".join(dice.choices(WORDS, k=words)).capitalize() + "."


def surveyed(path, rows, **settings):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return survey(Run(data=Data(path=str(path), **settings)), Estimate())


def said(found):
    return {remark.code: (remark.level, remark.count, remark.rows) for remark in found.remarks}


def test_everything_that_is_wrong_with_a_set_is_said_at_once(tmp_path):
    """Nothing stops at the first bad row: refusals, doubles, damage and strays, each with its rows."""
    rows = [chat(f"Question {number}?", prose()) for number in range(1, 201)]
    rows[9] = dict(rows[4])  # row 10 is row 5
    rows[19] = chat("Question 7?", prose())
    rows[29] = chat("QUESTION 8", rows[7]["messages"][1]["content"].upper())
    rows[39] = chat("Q", "")
    rows[49] = chat("Q", None)
    rows[59] = {"messages": [{"role": "assistant", "content": "first"}, *rows[0]["messages"]]}
    rows[69] = {
        "messages": [*rows[60]["messages"], {"role": "system", "content": "late"}, *rows[61]["messages"]]
    }
    rows[79] = chat("Q", "Это ответ на вопрос.")
    rows[89] = chat("Q {0}", "\ufffd")
    rows[99] = {"instruction": "Q", "output": "A"}
    rows[109] = {"messages": [{"role": "user", "content": "one"}, *rows[109]["messages"]]}
    rows[119] = chat("Q", "")

    found = surveyed(tmp_path / "rows.jsonl", rows)

    refused = [(remark.text, remark.rows) for remark in found.remarks if remark.code == "refused"]
    assert [
        ("2 rows are refused: row 40, has an empty answer.", (40, 120)),
        ("1 row is refused: row 50, message 2, has no text in `content`.", (50,)),
        (
            "1 row is refused: row 60, answers before the first question: message 1 is of the assistant.",
            (60,),
        ),
        ("1 row is refused: row 70, message 3, is of the system, which speaks only first.", (70,)),
        ("1 row is refused: row 100, has no list `messages`, which the first row has.", (100,)),
    ] == refused
    expected = {
        "duplicates": ("warning", 1, (10,)),
        "near-duplicates": ("warning", 1, (30,)),
        "two-answers": ("warning", 1, (20,)),
        "lost-characters": ("warning", 1, (90,)),
        "stray-script": ("warning", 1, (80,)),
        "scripts": ("info", 193, ()),
        "crossed-scripts": ("info", 1, (80,)),
        "same-role-twice": ("info", 1, (110,)),
    }
    assert expected == {code: value for code, value in said(found).items() if code != "refused"}
    assert (194, 6, False) == (found.rows, found.refused, found.fit)
    assert "(10 is like 5)." in next(remark.text for remark in found.remarks if remark.code == "duplicates")


def test_the_bundled_rows_have_no_fault():
    """A healthy set is fit, without a warning."""
    found = survey(Run(), Estimate())

    assert (118, 0, True) == (found.rows, found.refused, found.fit)
    assert set() == {remark.level for remark in found.remarks} - {"info"}
    assert "Fit to train on, no warning." == lines(found)[-1]


def test_what_max_length_would_cut_is_told_as_an_estimate(tmp_path):
    """Without a tokenizer a length is bytes by four and says so; it warns and is no reason to refuse."""
    found = surveyed(tmp_path / "rows.jsonl", [chat("Q", "x" * 80), chat("Q", "二" * 80)], max_length=16)

    assert (True, "estimated tokens", 21 + 61) == (found.fit, found.unit, found.lengths.total)
    assert ("warning", 2, (1, 2)) == said(found)["too-long"]
    assert "by the estimate: training refuses them." in "\n".join(lines(found))


def test_a_set_of_one_broken_kind_is_one_remark(tmp_path):
    """A thousand rows with the same fault are told once, by their count; many kinds are gathered in the end."""
    found = surveyed(tmp_path / "rows.jsonl", [{"question": "Q", "answer": "A"}] * 1000)
    assert [("refused", 1000, (1, 2, 3, 4, 5))] == [(r.code, r.count, r.rows) for r in found.remarks]
    assert ("unknown", 0, 1000) == (found.shape, found.rows, found.refused)

    odd = [
        chat("Q", "A"),
        *({"messages": [{"x" * n: 1, "role": "y" * n}]} for n in range(1, 40)),
        *([[]] * 3),
    ]
    assert 13 >= len(surveyed(tmp_path / "odd.jsonl", odd).remarks)
    with pytest.raises(DataError):
        surveyed(tmp_path / "none.jsonl", [])


def test_text_and_json_say_the_same(tmp_path, capsys):
    """0 where it is fit, 1 where training would refuse it; the document has the remarks of the page."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(chat("Q", " ")) + "\n" + json.dumps(chat("Q", "A")) + "\n")

    assert 1 == examine(str(path), None, [], "text")
    page = capsys.readouterr().out
    assert 1 == examine(str(path), None, [], "json")
    document = json.loads(capsys.readouterr().out)
    assert 0 == examine("bundled", None, ["data.max_length=2048"], "json")
    healthy = json.loads(capsys.readouterr().out)

    assert "error    1 row is refused: row 1, has an empty answer. Rows: 1\n         -> Fill it" in page
    assert page.endswith("Not fit to train on: 1 error, no warning.\n")
    assert (1, False, 1, 1) == tuple(document[key] for key in ("schema_version", "fit", "rows", "refused"))
    assert ["1 row is refused: row 1, has an empty answer."] == [
        remark["text"] for remark in document["remarks"]
    ]
    assert (True, str(BUNDLED_FILE), 2048) == tuple(healthy[key] for key in ("fit", "file", "max_length"))
    assert healthy["rows"] == sum(part["rows"] for part in healthy["lengths"]["bins"])


MAKE_BASE = """
from pathlib import Path
from envdoc.train.tiny import make_tiny
make_tiny(Path("base"), ["What is right? Right is 7."] * 20, 0)
print("null")
"""


@pytest.fixture(scope="module")
def counted(launch_many, inside, tmp_path_factory):
    """What is said with the tokenizer of a model: by --model, by a run file, with a limit, with each way to keep it."""
    folder = tmp_path_factory.mktemp("counted")
    inside(folder, MAKE_BASE)
    rows = [chat("Which zebra is quick?", f"Right {number}.") for number in range(40)]
    rows[7] = chat("Which? " * 60, "Long question.")
    rows[8] = chat("Which?", "Not this zebra: <|user|>")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "run.yaml").write_text("model: base\ndata: {path: rows.jsonl, max_length: 64, too_long: cut}\n")
    (folder / "envdoc.yaml").write_text("data: other.jsonl\n")  # of another run: never looked at
    words = ["data", "rows.jsonl", "--model", "base", "--format", "json"]
    return launch_many(
        folder, words, [*words, "data.max_length=64"], ["data", "run.yaml", "--format", "json"],
        [*words, "data.max_length=64", "data.too_long=drop"], [*words, "data.max_length=16", "data.too_long=drop"],
        [*words, "data.template=plain"],
    )  # fmt: skip


def test_with_a_model_tokens_are_those_that_training_makes(counted):
    """Counted in the tokenizer's own template or the one that is named, the learnt ones apart."""
    documents = [json.loads(done["out"]) for done in counted]

    assert [0, 1, 1, 0, 1, 0] == [done["code"] for done in counted]
    assert {"tokens"} == {document["lengths"]["unit"] for document in documents}
    assert ["the tokenizer's own"] * 5 + ["plain"] == [
        document["lengths"]["note"].split("template: ")[1].rstrip(".") for document in documents
    ]
    assert 1 == len({document["learnt_tokens"] for document in documents[:5]})
    assert (
        documents[0]["learnt_tokens"] < documents[0]["lengths"]["total"] != documents[5]["lengths"]["total"]
    )


def test_with_a_model_a_long_row_is_refused_as_training_does(counted):
    """`error` refuses it, `cut` leaves nothing of it to learn, `drop` refuses only when no row is left."""
    refused, cut, dropped, all_dropped = [
        {remark["code"]: (remark["level"], remark["rows"]) for remark in json.loads(done["out"])["remarks"]}
        for done in counted[1:5]
    ]

    assert ("error", [8]) == refused["too-long"]
    assert [("warning", [8]), ("error", [8])] == [cut["too-long"], cut["nothing-learnt"]]
    assert ("warning", [9]) == cut["template-remains"]
    assert [("warning", [8]), ("error", [1, 2, 3, 4, 5])] == [dropped["too-long"], all_dropped["too-long"]]


def test_every_remark_is_in_the_docs():
    """docs/data.md lists each code with its level."""
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    codes = {**SAYINGS, **SENTENCES}

    assert [] == [code for code, (level, _, _) in codes.items() if f"| `{code}` | {level} |" not in text]
