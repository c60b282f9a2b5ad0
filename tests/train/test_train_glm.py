"""A model with the traits of ChatGLM-6B and code of its own: what it is fed, and a run that is killed."""

import json
import re
import signal
import time
from pathlib import Path

import pytest
from train_children import losses, receipt

REMOTE = Path(__file__).parent / "remote"
MAKE = REMOTE / "make.py"
LOOK = """
import torch
from pathlib import Path
from envdoc.train import batches, glm
from envdoc.train.config import Data, Model
from envdoc.train.data import Row
from envdoc.train.fingerprint import code_sha256
from envdoc.train.errors import DataError
from envdoc.train.labels import Tokens, encode
from envdoc.train.model import choose_precision, load_base, load_tokenizer
from envdoc.train.tokenised import tokens_of

folder = Path("mini").absolute()
chosen = Model(path="mini", trust_remote_code=True, revision=code_sha256(folder))
tokenizer = load_tokenizer(folder, chosen)
base = load_base(folder, chosen, choose_precision(chosen)).eval()

def said(*turns):
    return tuple({"role": role, "content": text} for role, text in turns)

rows = [Row(1, said(("user", "12"), ("assistant", "345"))),
        Row(2, said(("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")))]
corpus = encode(rows, tokenizer, Data())

def one(row, left=0, right=0):
    ids = [0] * left + list(row.input_ids) + [0] * right
    mask = [0] * left + [1] * len(row.input_ids) + [0] * right
    with torch.no_grad():
        logits = base(input_ids=torch.tensor([ids]), attention_mask=torch.tensor([mask])).logits[0]
    return logits[left:left + len(row.input_ids)]

def apart(first, second):
    return float((first - second).abs().max())

ids = list(corpus.rows[0].input_ids)
def saved(ids):  # as ChatGLM-Tuning's tokenize_dataset_rows.py did
    row = {"input_ids": ids, "seq_len": 1 + ids.index(tokenizer.bos_token_id)}
    return encode([Row(9, tokens=tokens_of(row, "row 9,"))], tokenizer, Data()).rows[0]
try:
    twice = saved([*ids, *ids]).number
except DataError as error:
    twice = error.message

with torch.no_grad():
    alone = base(input_ids=torch.tensor([list(corpus.rows[0].input_ids)])).logits[0]
    other = base(input_ids=torch.tensor([[20, *list(corpus.rows[0].input_ids)[1:]]])).logits[0]
whole = batches.pad(list(corpus.rows), tokenizer.pad_token_id)
whole.pop("labels")
with torch.no_grad():
    padded = base(**whole).logits[0, :len(corpus.rows[0].input_ids)]
print(json.dumps({
    "texts": ["".join(tokenizer.convert_ids_to_tokens(list(row.input_ids))) for row in corpus.rows],
    "learnt": ["".join(tokenizer.convert_ids_to_tokens([label for label in row.labels if label >= 0]))
               for row in corpus.rows],
    "template": corpus.template,
    "saved": saved(ids).labels == list(corpus.rows[0].labels),
    "twice": twice,
    "dtypes": sorted({str(parameter.dtype) for parameter in base.parameters()}),
    "none_is_pad": apart(alone, one(corpus.rows[0])),
    "right": apart(alone, one(corpus.rows[0], right=5)),
    "left": apart(alone, one(corpus.rows[0], left=5)),
    "batch": apart(alone, padded),
    "question_is_seen_backwards": apart(alone[1:2], other[1:2]),
}))
"""


@pytest.fixture(scope="module")
def mini(inside, tmp_path_factory):
    """A folder with the model and a file of rows."""
    folder = tmp_path_factory.mktemp("glm")
    inside(
        folder,
        f"__file__ = {str(MAKE)!r}\nsys.argv[1:] = ['mini']\n{MAKE.read_text(encoding='utf-8')}\nprint('null')",
    )
    rows = ({"instruction": f"What is {n}?", "output": f"It is {n}, {n}, {n}."} for n in range(24))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_what_it_is_fed_is_what_its_own_chat_would_write(mini, inside):
    """Question, [GMASK] <sop>, answer, <eop>, from text or from the seed's own rows; padding changes no logit."""
    seen = inside(mini, LOOK)

    # Its tokenizer knows no character beyond 504: each of them is shown as \u01f9.
    rounds = "S\n[Round 0]\n问：a\n答：b\n[Round 1]\n问：c\n答：[gMASK]<sop>d<eop>"
    assert ["12[gMASK]<sop>345<eop>", re.sub("[问答：]", "\u01f9", rounds)] == seen["texts"]
    assert (["345<eop>", "d<eop>"], "ChatGLM's own") == (seen["learnt"], seen["template"])
    assert (True, "Row 9 holds the token 4 (<sop>) 2 times, and") == (
        seen["saved"],
        seen["twice"].split(" this")[0],
    )
    assert ["torch.float32"] == seen["dtypes"]
    for name in ("none_is_pad", "right", "left", "batch"):
        assert 1e-4 > seen[name], (name, seen)
    assert 1e-3 < seen["question_is_seen_backwards"]


def test_it_is_trained_killed_resumed_and_verified(mini, forked, launch_many):
    """Refused without its code's hash and in bf16; then trained, also after SIGKILL, to one adapter; verified."""
    refused, missing = launch_many(
        mini,
        ["train", "model=mini", "data=rows.jsonl"],
        ["train", "model=mini", "data=rows.jsonl", "model.trust_remote_code=true", "model.revision=main"],
    )
    assert (2, True) == (refused["code"], "runs Python code of its own" in refused["err"])
    assert (2, True) == (missing["code"], "`model.revision` is main, and the code" in missing["err"])
    pinned = refused["err"].split("model.revision=")[1].split("`")[0]
    words = [
        "train",
        "model=mini",
        "data=rows.jsonl",
        "model.trust_remote_code=true",
        f"model.revision={pinned}",
    ]
    words += ["lora.targets=query_key_value", "lora.r=8", "lora.alpha=8", "train.batch_size=4"]
    words += ["train.accumulation=2", "train.learning_rate=0.02", "train.save_every=2"]

    whole, wrong = launch_many(
        mini,
        [*words, "name=whole", "train.steps=12"],
        [*words, "name=wrong", "train.steps=1", "model.dtype=bf16"],
    )
    run = forked.start([*words, "name=killed", "train.steps=12"], mini)
    while run.poll() is None and not (mini / "runs/killed/checkpoint-4").exists():
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == run.wait()
    resumed, verified = launch_many(
        mini,
        [*words, "name=killed", "train.steps=12", "--resume"],
        ["verify", "runs/killed/adapter", "--format", "json"],
    )

    assert (0, 0, 0) == (whole["code"], resumed["code"], verified["code"]), (whole, resumed, verified)
    assert (2, True) == (wrong["code"], "bf16 cannot tell places beyond 256 apart" in wrong["err"])
    pairs = losses(mini / "runs/whole")
    assert pairs[-1][1] < pairs[0][1] - 0.3
    assert pairs == losses(mini / "runs/killed")
    assert (
        receipt(mini / "runs/whole")["adapter"]["sha256"]
        == receipt(mini / "runs/killed")["adapter"]["sha256"]
    )
    checks = {check["name"]: check["ok"] for check in json.loads(verified["out"])["checks"]}
    assert {"names", "lora_B", "hash", "output"} <= {name for name, ok in checks.items() if ok}
