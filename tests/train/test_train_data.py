"""Training rows: three shapes in, labels on the answers alone out, and every unfit row refused by its number."""

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
            "`{}`, row 2, is not JSON: Expecting ':' delimiter: line 1 column 5",
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


# Rows through real tokenizers, in the target. Each case prints what carries a label, decoded.
ENCODE = r"""
import copy
from pathlib import Path
from envdoc.train.config import Data
from envdoc.train.data import Row
from envdoc.train.labels import MASKED, encode
from envdoc.train.errors import DataError
from envdoc.train.tiny import make_tiny
from transformers import AutoTokenizer

make_tiny(Path("base"), ["What is two? Two is 2. 二是什么？", "Hello there"] * 20, 0)
own = AutoTokenizer.from_pretrained("base")
chatml = copy.deepcopy(own)
chatml.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
chatml.chat_template = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
bare = copy.deepcopy(own)  # no end of turn, no generation prompt
bare.chat_template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
forgetful = copy.deepcopy(own)  # rewrites earlier answers, as templates of thinking models do
forgetful.chat_template = (
    "{% for m in messages %}{% if m['role'] == 'assistant' and not loop.last %}<|assistant|>...</s>"
    "{% else %}<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}</s>{% endif %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
strict = copy.deepcopy(own)
strict.chat_template = "{{ raise_exception('no system message') }}"
none = copy.deepcopy(own)
none.chat_template = None
same = copy.deepcopy(own)
same.pad_token = same.eos_token

turns = [
    {"role": "user", "content": "What is two?"}, {"role": "assistant", "content": "Two is 2."},
    {"role": "user", "content": "二是什么？"}, {"role": "assistant", "content": "二是 2。"},
]
def shown(tokenizer, messages=turns, **settings):
    corpus = encode([Row(7, tuple(messages))], tokenizer, Data(**{"path": "rows.jsonl", **settings}))
    row = corpus.rows[0]
    spans, last = [], False
    for token, label in zip(row.input_ids, row.labels):
        assert label in (token, MASKED)
        if label != MASKED:
            spans = spans + [[]] if not last else spans
            spans[-1].append(token)
        last = label != MASKED
    return {"all": tokenizer.decode(row.input_ids), "learnt": [tokenizer.decode(s) for s in spans],
            "notes": list(corpus.notes), "template": corpus.template}
def refused(tokenizer, messages=turns, **settings):
    try:
        return shown(tokenizer, messages, **settings)
    except DataError as error:
        return error.message

Path("rows.jsonl").write_text("")
from envdoc.train.batches import pad
import torch
two = encode([Row(1, tuple(turns[:2])), Row(2, tuple(turns))], same, Data(path="rows.jsonl"))
batch = pad(two.rows, same.pad_token_id)
hashes = [
    encode([Row(1, tuple(turns))], t, Data(path="rows.jsonl", template=how)).encoded_sha256
    for t, how in ((own, "auto"), (own, "auto"), (own, "plain"), (chatml, "auto"))
]
print(json.dumps({
    "own": shown(own), "chatml": shown(chatml), "bare": shown(bare), "forgetful": shown(forgetful),
    "plain": shown(none), "forced": shown(own, template="plain"),
    "strict": refused(strict), "long": refused(own, max_length=16),
    "dropped": refused(own, max_length=16, too_long="drop"), "cut": shown(own, max_length=20, too_long="cut"),
    "masked": refused(own, [{"role": "user", "content": "hello " * 30}, turns[1]], max_length=16, too_long="cut"),
    "batch": {
        "shape": list(batch["input_ids"].shape),
        "lengths": [len(r.input_ids) for r in two.rows],
        "attended": batch["attention_mask"].sum(1).tolist(),
        "ends": [int(batch["labels"][i][len(r.input_ids) - 1]) == same.eos_token_id for i, r in enumerate(two.rows)],
        "labels": [(batch["labels"][i] != MASKED).sum().item() - r.answer_tokens for i, r in enumerate(two.rows)],
    },
    "hashes": len(set(hashes)),
}, ensure_ascii=False))
"""


@pytest.fixture(scope="module")
def encoded(inside, tmp_path_factory):
    """Every case above, from one child."""
    return inside(tmp_path_factory.mktemp("encode"), ENCODE)


def test_labels_lie_on_the_answers_and_their_ends_only(encoded):
    """Each answer is learnt with its end token; questions, headings and what follows the end are not."""
    assert ["Two is 2.</s>", "二是 2。</s>"] == encoded["own"]["learnt"]
    assert ["Two is 2.<|im_end|>", "二是 2。<|im_end|>"] == encoded["chatml"]["learnt"]
    assert "the tokenizer's own" == encoded["own"]["template"]
    assert encoded["own"]["all"].startswith("<s><|user|>What is two?")


def test_a_template_without_an_end_gets_the_end_token(encoded):
    """Where a template marks neither the answer's beginning nor its end, the label still begins with the answer."""
    assert [" Two is 2.\n", " 二是 2。\n</s>"] == encoded["bare"][
        "learnt"
    ]  # the space is part of the first token


def test_a_template_that_rewrites_earlier_turns_trains_the_last_answer(encoded):
    """What the model would not see again is not learnt, and the plan says so."""
    assert ["二是 2。</s>"] == encoded["forgetful"]["learnt"]
    assert [
        "1 rows are trained on their last answer only: the chat template rewrites earlier turns."
    ] == encoded["forgetful"]["notes"]


def test_without_a_template_the_plain_one_is_used(encoded):
    """A tokenizer without a chat template gets headings; `template: plain` forces them."""
    assert ["Two is 2.</s>", "二是 2。</s>"] == encoded["plain"]["learnt"]
    assert "### Instruction:\nWhat is two?\n\n### Response:\nTwo is 2.</s>" in encoded["plain"]["all"]
    assert ("plain", encoded["plain"]["all"]) == (encoded["forced"]["template"], encoded["forced"]["all"])


def test_rows_that_cannot_be_learnt_are_refused_by_number(encoded):
    """Too long, refused by the template, all masked: each in a sentence with the row's number."""
    assert "The chat template of the base model refuses row 7: no system message." == encoded["strict"]
    assert encoded["long"].startswith("Row 7 is ") and encoded["long"].endswith("`data.max_length` is 16.")
    assert "Nothing of row 7 would be learnt: its question alone fills 16 tokens." == encoded["masked"]
    assert encoded["dropped"].startswith("Every row is longer than `data.max_length` (16)")


def test_a_cut_row_is_told(encoded):
    """`too_long: cut` keeps the beginning, without the end token, and says so."""
    assert "Two is 2.</s>" == encoded["cut"]["learnt"][0]
    assert not encoded["cut"]["all"].endswith("</s>")
    assert ["1 row (7) cut to 20 tokens, so their answers are taught without end."] == encoded["cut"]["notes"]


def test_padding_is_masked_by_length_and_never_by_its_token(encoded):
    """With pad = eos the end of each answer is still learnt; lengths are padded to a multiple of 8."""
    batch = encoded["batch"]

    assert batch["lengths"] == batch["attended"]
    assert [True, True] == batch["ends"]
    assert [0, 0] == batch["labels"]
    assert [2, -(-max(batch["lengths"]) // 8) * 8] == batch["shape"]


def test_the_hash_of_the_encoded_rows_follows_the_template(encoded):
    """Same rows and template: same hash; another template or tokenizer: another hash."""
    assert 3 == encoded["hashes"]
