"""A run that goes wrong stops at that step, says which module, and leaves what was good."""

import json
import math
import random
import re

import pytest
from train_children import receipt

from envdoc.train.divergence import ABSURD_UPDATES, WINDOW, Divergence

RUN = ["train", "train.steps=30", "train.batch_size=2", "overwrite=true"]

# Makes the tiny base with one weight of the file damaged, then runs launch.py.
DAMAGED = """
import runpy
from safetensors.torch import load_file, save_file
import envdoc.train.tiny as tiny
make = tiny.make_tiny
def damaged(folder, texts, seed):
    make(folder, texts, seed)
    file = str(folder / "model.safetensors")
    tensors = load_file(file)
    tensors["model.{}.weight"][{}] = float("nan")
    save_file(tensors, file, metadata={{"format": "pt"}})
tiny.make_tiny = damaged
sys.exit(runpy.run_path(sys.argv[0])["main"](sys.argv[1:]))
"""


def test_a_damaged_base_is_named_at_the_first_step(forked, tmp_path):
    """NaN in one weight of the base: step 1 stops the run, exit 1; the layer, and that its weights are at fault."""
    done = forked.finish(RUN, tmp_path, text=DAMAGED.format("layers.1.mlp.up_proj", "3, 4"))

    assert 1 == done.returncode, done.stderr
    message, hint = done.stderr.splitlines()[-2:]
    assert (
        "error: The loss at step 1 is nan; training stopped before the update. The first output that is not finite is "
        "that of `model.layers.1.mlp.up_proj.base_layer` (Linear), whose weights are not finite. No update before it "
        "did well."
    ) == message
    assert hint.startswith("hint: The base model itself is damaged")
    assert not (tmp_path / "runs/default/adapter").exists()


def test_nan_in_the_middle_keeps_what_was_good(forked, inside, tmp_path):
    """NaN comes with a rare token at step 22: without a checkpoint the adapter is saved, else the checkpoint stays."""
    text = DAMAGED.format("embed_tokens", "900")

    bare = forked.finish(RUN, tmp_path, text=text)
    left = sorted(path.name for path in (tmp_path / "runs/default").iterdir())
    judged = inside(
        tmp_path,
        """
from safetensors.torch import load_file
tensors = load_file("runs/default/last-good/adapter_model.safetensors")
moved = [float(tensor.abs().max()) for name, tensor in tensors.items() if "lora_B" in name]
finite = all(bool(tensor.isfinite().all()) for tensor in tensors.values())
print(json.dumps([len(tensors), finite, min(moved) > 0]))
""",
    )
    saved = forked.finish([*RUN, "train.save_every=10"], tmp_path, text=text)
    events = [json.loads(line) for line in (tmp_path / "runs/default/events.jsonl").read_text().splitlines()]

    assert (1, 1) == (bare.returncode, saved.returncode), bare.stderr + saved.stderr
    assert "The loss at step 22 is nan (at step 21 it was " in bare.stderr
    assert "is that of `model.embed_tokens` (Embedding), whose weights are not finite." in bare.stderr
    assert (
        "The adapter that last did well, after step 20, is in `last-good` of the run's folder." in bare.stderr
    )
    expected = [
        "base",
        "environment.json",
        "events.jsonl",
        "last-good",
        "report.html",
        "run.yaml",
        "steps.jsonl",
    ]
    assert expected == left
    assert [42, True, True] == judged
    assert "The last adapter that did well is that of `checkpoint-20`." in saved.stderr
    assert not (tmp_path / "runs/default/last-good").exists()
    assert (22, "model.embed_tokens") == next(
        (event["step"], event["module"]) for event in events if event["kind"] == "diverged"
    )


# A gradient overflows on its way back through the layers, from the third update on; then runs launch.py.
OVERFLOW = """
import runpy
import torch
from peft.tuners.lora import layer
class Overflow(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.clone()
    @staticmethod
    def backward(ctx, gradient):
        return gradient * 1e38 * 1e38
plain, seen = layer.Linear.forward, []
def forward(self, x, *args, **kwargs):
    seen.append(self)
    y = plain(self, x, *args, **kwargs)
    return Overflow.apply(y) if len(seen) > 2 * len(set(seen)) else y
layer.Linear.forward = forward
sys.exit(runpy.run_path(sys.argv[0])["main"](sys.argv[1:]))
"""
# How bf16 rounds differs between CPUs, and with it whether a wild run overflows: in it the gradient is made to.
NOT_FINITE = {
    "fp32": {"words": ["train.learning_rate=9", "train.max_grad_norm=0", "train.schedule=constant"]},
    "bf16": {"words": ["train.accumulation=1"], "text": OVERFLOW},
}


@pytest.mark.parametrize("dtype", NOT_FINITE)
def test_gradients_that_are_not_finite_stop_before_the_weights_do(forked, tmp_path, dtype):
    """A learning rate of 9 without clipping, or an overflow: the loss is still a number, its gradient is none."""
    given = NOT_FINITE[dtype]
    done = forked.finish([*RUN, *given["words"], f"model.dtype={dtype}"], tmp_path, text=given.get("text"))

    assert 1 == done.returncode, done.stderr
    message = done.stderr.splitlines()[-2]
    assert message.startswith("error: The gradient at step ") and "though the loss is 7." in message
    assert "Traceback" not in done.stderr


# A base that knows its rows: the tiny model, trained whole for a second.
LEARNT_BASE = r"""
from pathlib import Path
import torch
from envdoc.train.batches import pad
from envdoc.train.config import Data
from envdoc.train.data import read_rows
from envdoc.train.labels import encode
from envdoc.train.tiny import make_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(1)
rows = [{"instruction": f"Say {n}", "output": f"I say {n} and {n} again"} for n in range(100, 164)]
Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
data = Data(path="rows.jsonl")
text = read_rows(data)
make_tiny(Path("base"), [turn["content"] for row in text for turn in row.messages], 0)
tokenizer = AutoTokenizer.from_pretrained("base")
model = AutoModelForCausalLM.from_pretrained("base").train()
rows = list(encode(text, tokenizer, data).rows)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
for step in range(40):
    loss = model(**pad(rows[step % 4 :: 4], tokenizer.pad_token_id)).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
model.save_pretrained("base")
print(float(loss.detach()))
"""


def test_a_diverging_run_stops_and_may_be_told_not_to(forked, inside, tmp_path):
    """A learning rate of 0.1 wrecks a base that knew its rows, with finite losses: stopped, or let go on by the key."""
    assert 0.5 > inside(tmp_path, LEARNT_BASE)
    words = [
        "train",
        "model=base",
        "data=rows.jsonl",
        "name=run",
        "overwrite=true",
        "train.learning_rate=0.1",
    ]
    words += [
        "train.schedule=constant",
        "train.warmup_fraction=0",
        "train.batch_size=2",
        "train.accumulation=1",
    ]
    words += ["train.steps=54", "train.gradient_checkpointing=false"]

    stopped = forked.finish(words, tmp_path)
    report = (tmp_path / "runs/run/report.html").read_text(encoding="utf-8")
    on = forked.finish([*words, "train.stop_when_diverging=false"], tmp_path)

    assert (1, 0) == (stopped.returncode, on.returncode), stopped.stderr + on.stderr
    message, hint = stopped.stderr.splitlines()[-2:]
    assert re.match(
        r"error: The loss at step 5[1-4] is \d\.\d{4}: it was \d\.\d\d or more in each of the last 50",
        message,
    )
    assert "so training is diverging and stopped there" in message
    assert hint.endswith("If that rise is meant to be, set `train.stop_when_diverging=false`.")
    assert (tmp_path / "runs/run/adapter").exists()
    assert '<span class="verdict bad">diverged</span>' in report
    for part in ("so training is diverging and stopped there", "of 54", "<polyline", "What was trained"):
        assert part in report, part
    assert "How to use it" not in report and "Proof that" not in report


def test_the_first_module_is_found_and_fp16_told(inside, tmp_path):
    """Inner layers before the block; an overflow of fp16 is told with the number that fp32 reaches; finite: None."""
    found = inside(
        tmp_path,
        """
import torch
from envdoc.train.nonfinite import first_fault

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False)
        torch.nn.init.constant_(self.one.weight, 1.0)
        torch.nn.init.constant_(self.two.weight, 1.0)
    def forward(self, x):
        return self.two(self.one(x)) / self.scale
    scale = 1.0

def told(change, dtype, value):
    torch.manual_seed(0)
    block = torch.nn.Sequential(Block(), torch.nn.Identity())
    change(block[0])
    block = block.to(dtype)
    fault = first_fault(lambda: block(torch.full((2, 4), value, dtype=dtype)), block)
    return fault and [fault.module, fault.kind, fault.inputs_finite, fault.weights_finite, fault.overflow,
                      fault.fp32_largest]

def poke(block): block.two.weight.data[0, 0] = float("inf")
def by_zero(block): block.scale = 0.0
same = lambda block: None
print(json.dumps([
    told(same, torch.float32, 1.0),
    told(poke, torch.float32, 1.0),
    told(by_zero, torch.float32, 1.0),
    told(same, torch.float32, float("nan")),
    told(same, torch.float16, 10000.0),
    told(same, torch.bfloat16, 10000.0),
]))
""",
    )

    assert [
        None,
        ["0.two", "Linear", True, False, False, None],
        ["0", "Block", True, True, False, None],
        ["0.one", "Linear", False, True, False, None],
        ["0.two", "Linear", True, True, True, 160000.0],
        None,
    ] == found


def fed(losses, vocabulary=32000):
    """The update at which the rule stops the run, counted from 1; None where it goes to the end."""
    rule = Divergence(vocabulary)
    return next((at for at, loss in enumerate(losses, 1) if rule.take(loss)), None)


def healthy(seed, updates, end, noise, start=None):
    """Losses that fall from `start` to `end` with noise as a factor, as log-normal as small batches make it."""
    chance = random.Random(seed)
    start = start or 3 * end
    return [
        (end + (start - end) * math.exp(-at / 40)) * math.exp(chance.gauss(0, noise)) for at in range(updates)
    ]


def test_no_false_alarm(finished):
    """The quickstart, tiny batches, spikes, half easy and half hard rows, a bad start, a plateau, learnt by heart."""
    chance = random.Random(7)
    runs = {
        "the quickstart": ([loss for _, loss in receipt(finished / "runs/default")["training"]["losses"]] * 9, 1024),
        "batches of one row": (healthy(1, 3000, 1.2, 0.7), 32000),
        "spikes": ([1e6 if at % 9 == 8 else loss for at, loss in enumerate(healthy(2, 1000, 1.0, 0.2))], 32000),
        "a spike that takes 20 updates to go": (
            [*healthy(3, 200, 1.0, 0.1), *[30 * 0.8**at for at in range(20)], *healthy(4, 200, 1.0, 0.1)],
            32000,
        ),
        "half easy, half hard": ([chance.choice((0.3, 6.5)) for _ in range(20000)], 32000),
        "mostly hard": ([0.3 if chance.random() < 0.2 else 6.5 for _ in range(20000)], 32000),
        "worse than knowing nothing at first": (healthy(5, 300, 2.0, 0.1, start=60.0), 32000),
        "never learns": ([10.4 + chance.gauss(0, 0.3) for _ in range(1000)], 32000),
        "one easy row, and that the first": (
            [0.3, *[0.3 if chance.random() < 0.2 else 6.5 for _ in range(500)]], 32000,
        ),
        "learnt by heart, then new rows": ([*healthy(6, 300, 0.01, 0.5), *healthy(7, 300, 1.5, 0.3)], 32000),
    }  # fmt: skip

    assert {} == {name: fed(*run) for name, run in runs.items() if fed(*run) is not None}


@pytest.mark.parametrize(
    ("after", "at_most"),
    [
        ([8.0] * 200, 200 + WINDOW),  # knows only the commonest tokens any more
        ([1.0 + 0.2 * at for at in range(200)], 200 + 80),  # climbs
        ([1000.0 * 1.5**at for at in range(100)], 200 + ABSURD_UPDATES),  # explodes
    ],
    ids=["collapses", "climbs", "explodes"],
)
def test_a_lost_run_is_seen(after, at_most):
    """After 200 healthy updates: within a window, or ten updates where it explodes, and never before it began."""
    stopped = fed([*healthy(8, 200, 1.0, 0.2), *after])

    assert stopped is not None and 200 < stopped <= at_most


def test_a_run_that_is_lost_at_once_is_seen():
    """From the second update on it is far above the base's own loss: no best of its own is needed for that."""
    chance = random.Random(9)
    lost = [0.04, *[3.0 + chance.gauss(0, 0.3) for _ in range(200)]]

    assert WINDOW + 1 == fed(lost, vocabulary=345)
    assert 2 + ABSURD_UPDATES == fed([1.2, 8.0, *[1000.0 + at for at in range(100)]])


def test_fp16_that_never_finds_a_scale_is_told_and_stopped(inside, tmp_path):
    """A few skipped updates are normal; 8 in a row are told once, 16 end the run; one that counts begins anew."""
    told = inside(
        tmp_path,
        """
import contextlib, io, torch
from pathlib import Path
from envdoc.train.config import Train
from envdoc.train.errors import Diverged
from envdoc.train.events import Events
from envdoc.train.guard import Guard
from envdoc.train.history import History
from envdoc.train.model import Precision

def ended(skips):
    history = History(Path("."))
    fp16 = Precision(torch.device("cpu"), "fp16")
    guard = Guard(torch.nn.Linear(2, 2), Path("."), Train(), fp16, history, Events(None))
    counted = dict.fromkeys(("seconds", "tokens", "padded_tokens", "answer_tokens"), 1)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        for step, skipped in enumerate(skips, 1):
            history.append({"step": step, "loss": 2.0, **counted})
            try:
                guard.after_update(skipped, 1e-4)
            except Diverged as error:
                return [step, said.getvalue().count("note:"), error.message[:64], error.exit_code]
    return [None, said.getvalue().count("note:"), guard.moved]

print(json.dumps([ended([True] * 7 + [False] + [True] * 7), ended([True] * 15 + [False]), ended([True] * 30)]))
""",
    )

    assert [
        [None, 0, True],
        [None, 1, True],
        [16, 1, "The gradients overflowed fp16 in 16 updates in a row up to step ", 1],
    ] == told
