"""Whole runs on the fast path, which is a GPU's: here the one question whether there is a GPU is answered with yes.

Kernels and variable-length attention are tried elsewhere (scripts/prove-kernels, prove-packing); everything in torch
of the fast path, the copies, the queued step and the trial after the first update run as on a GPU.
"""

import json

RUN = """
import runpy
from envdoc.train.fast import copies, precision
precision.is_fast = lambda run, chosen: run.train.fused == "auto" and run.model.preparation != "full"
{}
sys.exit(runpy.run_path(sys.argv[0])["main"](sys.argv[1:]))
"""
STALE = "copies.Copies.now = lambda self, dtype: (dtype,)"
WORDS = [
    "model.dtype=bf16",
    "train.steps=8",
    "train.learning_rate=0.02",
    "train.warmup_fraction=0",
    "train.optimizer=adamw_fused",
]


def events(folder, kind):
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def test_a_fast_run_learns_what_a_plain_one_learns_and_says_so(forked, tmp_path):
    """Losses of eight updates are those of peft's layers to bf16's rounding; the trial after the first is written."""
    fast = forked.finish(["train", *WORDS, "name=fast"], tmp_path, text=RUN.format(""))
    plain = forked.finish(["train", *WORDS, "name=plain", "train.fused=off"], tmp_path)

    assert (0, 0) == (fast.returncode, plain.returncode), fast.stderr + plain.stderr
    assert "Fast      the loss by pieces of the logits, LoRA, norms and rotary positions fused" in fast.stdout
    ones, others = (
        [step["loss"] for step in events(tmp_path / "runs" / name, "step")] for name in ("fast", "plain")
    )
    assert [8, 8] == [len(ones), len(others)]
    assert max(abs(one - other) for one, other in zip(ones, others)) < 0.03, (ones, others)
    (tried,) = events(tmp_path / "runs" / "fast", "fast_path")
    assert all(0 <= tried[name] < 0.05 for name in ("loss_apart", "a_apart", "b_apart")), tried
    assert 0 < tried["a_apart"]
    assert tried["worst"].split(".")[1] in ("lora_A", "lora_B")
    assert [] == events(tmp_path / "runs" / "plain", "fast_path")


def test_copies_that_nobody_renews_stop_the_run_after_one_update(forked, tmp_path):
    """The worst fault that the fast path had: told with both numbers and the way out, exit code 2, nothing saved."""
    stale = forked.finish(["train", *WORDS, "name=stale"], tmp_path, text=RUN.format(STALE))

    assert 2 == stale.returncode, stale.stdout + stale.stderr
    assert "On this machine the fast path does not compute what peft computes" in stale.stderr
    assert "gradients of A 100.0%" in stale.stderr
    assert "`train.fused=off`" in stale.stderr
    assert 1 == len(events(tmp_path / "runs" / "stale", "step"))
    assert not (tmp_path / "runs" / "stale" / "adapter").exists()


KILLED = """
import os, signal
from envdoc.train import fit
ended = fit.Watch.on_step_end
def on_step_end(self, args, state, control, **told):
    if state.global_step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return ended(self, args, state, control, **told)
fit.Watch.on_step_end = on_step_end
"""


def test_a_fast_run_that_is_killed_goes_on_exactly(forked, tmp_path):
    """Queued steps, renewed copies, layers computed again: killed by SIGKILL and resumed, every byte is equal."""
    words = [
        *WORDS,
        "train.save_every=3",
        "train.gradient_checkpointing=true",
        "lora.dropout=0.1",
        "train.seed=5",
    ]
    whole = forked.finish(["train", *words, "name=whole"], tmp_path, text=RUN.format(""))
    killed = forked.finish(["train", *words, "name=killed"], tmp_path, text=RUN.format(KILLED))
    resumed = forked.finish(["train", *words, "name=killed", "--resume"], tmp_path, text=RUN.format(""))

    assert [0, -9, 0] == [done.returncode for done in (whole, killed, resumed)], whole.stderr + resumed.stderr
    one, other = (
        (tmp_path / "runs" / name / "adapter" / "adapter_model.safetensors").read_bytes()
        for name in ("whole", "killed")
    )
    assert one == other
    losses = [
        [
            json.loads(line)["loss"]
            for line in (tmp_path / "runs" / name / "steps.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    ]
    assert 8 == len(losses[0]) and losses[0] == losses[1]
