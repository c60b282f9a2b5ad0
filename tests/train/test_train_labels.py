"""Rows through real tokenizers: labels on the answers and their ends alone, and what cannot be learnt refused."""

import pytest

# In the target. Each case prints what carries a label, decoded.
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
    assert ["1 row (7) cut to 20 tokens: such an answer is taught without its end."] == encoded["cut"][
        "notes"
    ]


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
