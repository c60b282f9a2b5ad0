"""Training rows: every shape becomes one conversation, and every unfit row is refused by its number."""

import json

import pytest

from envdoc.train.config import Data
from envdoc.train.data import BUNDLED_FILE, read_rows
from envdoc.train.errors import DataError

QUESTION = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return Data(path=str(path))


def refusal(data):
    with pytest.raises(DataError) as caught:
        read_rows(data)
    return caught.value.message


@pytest.mark.parametrize(
    "row",
    [
        {"messages": QUESTION},
        {"instruction": "Q", "output": "A"},
        {"instruction": "Q", "input": "", "output": "A", "label": False},
        {"prompt": "Q", "completion": "A", "label": True},
        {"prompt": [QUESTION[0]], "completion": [QUESTION[1]]},
        {
            "messages": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}],
            "tools": None,
            "label": True,
        },
        {"conversations": QUESTION},
        {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}, QUESTION[1]],
            "images": [],
        },
        {"messages": QUESTION, "prompt": "Q", "completion": "other"},
        {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    ],
)
def test_every_shape_becomes_the_same_messages(tmp_path, row):
    """messages, alpaca, ShareGPT and prompt with completion are one thing after reading."""
    rows = read_rows(write(tmp_path / "rows.jsonl", [row]))

    assert [(1, tuple(QUESTION))] == [(r.number, r.messages) for r in rows]


def test_an_alpaca_input_follows_its_instruction(tmp_path):
    """`input` belongs to the question; `system` comes before it, in the other shapes, too."""
    row = {"instruction": "Sort.", "input": "2 1", "output": "1 2", "system": "Be brief."}

    (read,) = read_rows(write(tmp_path / "rows.jsonl", [row]))

    assert ["Be brief.", "Sort.\n\n2 1", "1 2"] == [m["content"] for m in read.messages]
    chat = {
        "conversations": [{"from": "human", "value": "Sort."}, {"from": "gpt", "value": "1 2"}],
        "system": "Be brief.",
    }
    (read,) = read_rows(write(tmp_path / "chat.jsonl", [chat]))
    assert [("system", "Be brief."), ("user", "Sort.")] == [
        (m["role"], m["content"]) for m in read.messages[:2]
    ]


def test_json_lists_are_read_and_empty_lines_passed_over(tmp_path):
    """.json holds a list (or `data`); in .jsonl rows are numbered by their line."""
    (tmp_path / "a.json").write_text(json.dumps([{"messages": QUESTION}]))
    (tmp_path / "b.json").write_text(json.dumps({"data": [{"messages": QUESTION}] * 2}))
    (tmp_path / "c.jsonl").write_text("\n" + json.dumps({"messages": QUESTION}) + "\n\n")

    numbers = [
        [r.number for r in read_rows(Data(path=str(tmp_path / n)))] for n in ("a.json", "b.json", "c.jsonl")
    ]

    assert [[1], [1, 2], [2]] == numbers


def test_the_bundled_rows_are_fit():
    """The bundled set holds over a hundred different rows, a good part of each language."""
    rows = read_rows(Data())
    chinese = [r for r in rows if any("一" <= c <= "鿿" for c in r.messages[-1]["content"])]

    assert len(rows) == len({r.messages[0]["content"] for r in rows}) > 100
    assert 40 < len(chinese) < len(rows) - 40
    assert BUNDLED_FILE.is_file()


@pytest.mark.parametrize(
    "row, message",
    [
        ({"messages": [QUESTION[0]]}, "row 2, ends without an answer: its last message is of the user."),
        ({"messages": [QUESTION[1]]}, "row 2, has no question (no message of the user)."),
        ({"messages": [QUESTION[0], {"role": "assistant", "content": " "}]}, "row 2, has an empty answer."),
        ({"messages": [{"role": "robot", "content": "x"}]}, "row 2, message 1, has no known `role`."),
        ({"messages": [{"role": "user", "content": None}]}, "row 2, message 1, has no text in `content`."),
        ({"messages": []}, "row 2, has no list `messages`, which the first row has."),
        ({"instruction": "Q", "output": "A"}, "row 2, has no list `messages`, which the first row has."),
        ({"messages": [*QUESTION, QUESTION[1], {"role": "system", "content": "S"}, QUESTION[1]]},
         "row 2, message 4, is of the system, which speaks only first."),
        ({"messages": [QUESTION[1], *QUESTION]},
         "row 2, answers before the first question: message 1 is of the assistant."),
        ({"messages": [QUESTION[0], {"role": "tool", "content": "x"}, QUESTION[1]]},
         "row 2, message 2, is a tool call, and envdoc trains none."),
        ({"messages": [QUESTION[0], {"role": "assistant", "content": None, "tool_calls": [{}]}]},
         "row 2, message 2, is a tool call, and envdoc trains none."),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, QUESTION[1]]},
         "row 2, message 1, holds a part in `content` that is no text: `image_url`."),
        ({"messages": QUESTION, "tools": [{"name": "search"}]}, "row 2, has `tools`: envdoc trains no tool calls."),
        ({"messages": QUESTION, "images": ["a.png"]}, "row 2, has `images`: envdoc trains on text."),
        ({"messages": QUESTION, "rejected": "B"},
         "row 2, has `rejected`: envdoc trains on answers, and not on preferences."),
        ({"messages": QUESTION, "label": False}, "row 2, is marked as a bad answer (`label` is false)."),
        (["Q", "A"], "row 2, is a list and no object."),
    ],
)  # fmt: skip
def test_an_unfit_row_is_refused_by_its_number(tmp_path, row, message):
    """The number of the row and what is wrong with it, in one sentence."""
    data = write(tmp_path / "rows.jsonl", [{"messages": QUESTION}, row])

    assert f"`{data.path}`, {message}" == refusal(data)


@pytest.mark.parametrize(
    "row, message",
    [
        ({"instruction": "Q"}, "has no `output`."),
        ({"instruction": "Q", "output": ""}, "has an empty answer."),
        ({"prompt": "Q", "completion": "A", "label": False}, "is marked as a bad answer (`label` is false)."),
        (
            {"instruction": "Q", "output": "A", "kto_tag": False},
            "is marked as a bad answer (`kto_tag` is false).",
        ),
        ({"prompt": None, "completion": "A"}, "has no `prompt`."),
        ({"prompt": "Q", "completion": ""}, "has an empty answer."),
        ({"instruction": "", "output": "A"}, "has an empty `instruction`."),
        ({"instruction": "Q", "output": 4}, "has no text in `output` but the number 4."),
    ],
)
def test_an_unfit_row_of_another_shape_is_refused(tmp_path, row, message):
    """The same for alpaca rows, and for prompt with completion."""
    data = write(tmp_path / "rows.jsonl", [row])

    assert f"`{data.path}`, row 1, {message}" == refusal(data)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("none.jsonl", None, "There is no data file `{}`."),
        ("empty.jsonl", b"\n", "The data file `{}` holds no row."),
        (
            "bad.jsonl",
            b'{"instruction": "Q", "output": "A"}\n{"a"',
            "`{}`, row 2, is not JSON: Expecting ':' delimiter, at character 5",
        ),
        ("bad.json", b"{", "`{}` is not JSON: line 1: expected `}}`, and the file ends."),
        ("dict.json", b"{}", "`{}` must hold a list of rows, and holds a dict."),
        ("latin.jsonl", b'\n{"b": "\xe9"}\n', "`{}`, row 2, is not UTF-8 text."),
        (
            "keys.jsonl",
            b'{"question": "Q"}\n',
            "`{}`, row 1, has the keys `question`, which is none of the shapes known.",
        ),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(tmp_path, name, content, message):
    """Missing, empty, not JSON, not UTF-8, unknown keys: one sentence with the place."""
    if content is not None:
        (tmp_path / name).write_bytes(content)

    assert refusal(Data(path=str(tmp_path / name))).startswith(message.format(tmp_path / name))
