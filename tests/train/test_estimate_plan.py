"""The automatic plan: the fastest way that fits, the same update everywhere, and the reasons; passes from lengths."""

import random

import pytest

from envdoc.train import runfile
from envdoc.train.estimate.memory import Pass, peak_bytes
from envdoc.train.estimate.passes import passes_of
from envdoc.train.estimate.plan import KINDS, Open, batches_of, choose, needs, packs_of_update
from envdoc.train.estimate.planned import left_open, planned
from envdoc.train.estimate.saved import Way
from envdoc.train.estimate.shape import shape_of
from envdoc.train.estimate.speed import flops_per_token, seconds_per_token

SHAPE = shape_of(
    {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
)
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ASKED = Open(
    Pass(Way(r=16, targets=TARGETS), 1024),
    row_tokens=300,
    batches=batches_of(16),
    pack_tokens=1024,
    checkpointing=True,
    quantization=True,
)
GIB = 2**30


def run_of(*words):
    """A run of the defaults with these words."""
    return runfile.load(None, ["model=m", "data=d", *words], here=False)[0]


@pytest.mark.parametrize("gib", [10, 14, 18, 24, 40, 48, 80, 139, 500])
def test_what_is_chosen_fits_with_its_margin_and_nothing_faster_does(gib):
    """On every size of GPU: the peak and its margin are below what is free, and each faster way of the base is not."""
    chosen = choose(SHAPE, gib * GIB, ASKED)
    choice = chosen.choice

    assert chosen.fits and needs(choice.peak_bytes) <= gib * GIB
    for kind in KINDS:
        for batch in ASKED.batches:
            way = Pass(ASKED.one.way, batch * 1024, quantization=choice.quantization, checkpointing=kind)
            faster = seconds_per_token(SHAPE, way, 300, 300e12) < choice.relative_seconds
            assert not faster or needs(peak_bytes(SHAPE, way).total) > gib * GIB


def test_more_memory_is_never_slower_and_the_base_stays_as_it_is_where_it_can():
    """4 bits are a last resort; with more room the chosen way is as fast or faster."""
    choices = [choose(SHAPE, gib * GIB, ASKED).choice for gib in (10, 14, 20, 24, 40, 80, 139)]

    assert ["4bit", "4bit", "none", "none", "none", "none", "none"] == [one.quantization for one in choices]
    speeds = [one.relative_seconds for one in choices if one.quantization == "none"]
    assert speeds == sorted(speeds, reverse=True)
    assert (16, False) == (choices[-1].batch, choices[-1].checkpointing)


def test_a_gpu_that_outruns_its_host_is_given_larger_passes():
    """22.4 GiB of an H200, a 7B in bf16, r = 8: recomputed, of 2,048 tokens or more; by a slow GPU's peak not."""
    llama = shape_of(
        {
            "model_type": "llama",
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 32000,
        }
    )
    asked = Open(
        Pass(Way(r=8, targets=TARGETS), 1024),
        row_tokens=290,
        batches=batches_of(16),
        pack_tokens=1024,
        checkpointing=True,
    )
    fast, slow = (choose(llama, int(22.4 * GIB), asked, peak).choice for peak in (989e12, 150e12))

    assert (True, False) == (fast.checkpointing in (True, "offload"), slow.checkpointing in (True, "offload"))
    assert fast.tokens >= 8192 and slow.tokens == 1024


def test_the_reasons_say_what_the_next_faster_choice_needs():
    """The plan in words, and a line for each faster way with the memory that it would take."""
    chosen = choose(SHAPE, 24 * GIB, ASKED)

    assert chosen.reasons[0].startswith("Plan: ") and "of 24.0 GiB free." in chosen.reasons[0]
    faster = [line for line in chosen.reasons[1:] if line.startswith("Faster, and too large: ")]
    assert faster and all("GiB with a margin." in line for line in faster)
    assert choose(SHAPE, 500 * GIB, ASKED).reasons[1:] == ()


def test_where_nothing_fits_the_least_is_taken_and_said():
    """A GPU of 4 GiB: the smallest of all ways, with the sentence that it may not fit."""
    chosen = choose(SHAPE, 4 * GIB, ASKED)

    assert not chosen.fits and ("4bit", 1) == (chosen.choice.quantization, chosen.choice.batch)
    assert "it may not fit" in chosen.reasons[0] and 1 == len(chosen.reasons)


def test_an_update_is_the_same_rows_on_every_gpu():
    """With `batch: auto` passes times packs is one number for one data set: on 12 GiB, on 139, on one GPU, on two."""
    lengths = [random.Random(1).choice([90, 200, 350, 800]) for _ in range(3000)]
    run = run_of("batch=auto", "model.quantization=auto")
    seen = set()
    for gib, processes in ((12, 1), (24, 1), (139, 1), (139, 2)):
        found = planned(run, SHAPE, lengths, gib * GIB, 0.5, processes)
        train = found.run.train
        assert found.fits and () == left_open(found.run) and found.run.data.packing is True
        assert train.accumulation % processes == 0
        seen.add(train.batch_size * train.accumulation)

    assert {16} == seen


@pytest.mark.parametrize(
    ("packs", "max_length", "update"),
    [
        (1000, 1024, 16),
        (1000, 8192, 2),
        (64, 1024, 2),
        (5, 1024, 1),
        (10**6, 16384, 1),
        (13 * 32, 1024, 12),
        (10 * 32, 1024, 8),
        (7 * 32, 1024, 6),
        (10**6, 700, 16),
        (10**6, 500, 32),
        (10**6, 40000, 1),
    ],
)
def test_the_packs_of_an_update_follow_from_the_data_alone(packs, max_length, update):
    """16,384 tokens or just below, fewer where an epoch would have too few updates; a number of many divisors."""
    assert update == packs_of_update(packs, max_length)


def test_a_batch_that_is_given_stays():
    """Only what is `auto` is chosen: rows of a pass and passes of an update are the run file's."""
    found = planned(run_of("train.batch_size=8", "train.accumulation=3"), SHAPE, [500] * 100, 80 * GIB)

    assert (8, 3, False) == (
        found.run.train.batch_size,
        found.run.train.accumulation,
        found.run.train.gradient_checkpointing,
    )
    assert "pack" not in found.reasons[0]


def test_passes_follow_from_lengths():
    """The longest row decides a padded pass, `max_length` a packed one; what is padding is counted."""
    lengths = [100] * 99 + [1000]
    padded = passes_of(
        lengths, run_of("data.packing=false", "train.batch_size=4", "train.accumulation=2"), True
    )
    packed = passes_of(
        lengths, run_of("data.packing=true", "train.batch_size=2", "train.accumulation=1"), True
    )
    dealt = passes_of(lengths, run_of("train.batch_size=4", "train.accumulation=2"), True)

    assert (4 * 1000, 13, True) == (padded.largest_tokens, padded.updates, padded.padded)
    assert 24 * 4 * 104 + 4 * 1000 == padded.computed_tokens and 10_900 == padded.tokens
    assert (2 * 1000, 6, False) == (packed.largest_tokens, packed.updates, packed.padded)
    assert 1.0 == packed.full
    assert 1000 <= dealt.largest_tokens <= 4 * 1024 and 13 == dealt.updates


def test_the_operations_of_a_token_are_those_of_the_papers():
    """4 a weight without checkpointing, 6 with (but for the head), attention and adapter beside them."""
    free = Pass(Way(r=1, targets=()), 8192)
    weights = SHAPE.multiplied
    head = SHAPE.vocabulary * SHAPE.hidden

    assert 4 * weights == flops_per_token(SHAPE, free, 0)
    again = Pass(free.way, 8192, checkpointing=True)
    assert 6 * weights - 2 * head == flops_per_token(SHAPE, again, 0)
    attention = flops_per_token(SHAPE, free, 4096) - flops_per_token(SHAPE, free, 0)
    assert 3.5 * 2 * 4096 * 4096 * 32 == attention


SETTLED = """
import torch
from pathlib import Path
from envdoc.train import runfile
from envdoc.train.config import flat
from envdoc.train.estimate import here, settle
from envdoc.train.model import Precision
from envdoc.train.ready import Asked

base, folder = Path("base"), Path("run").absolute()
base.mkdir()
described = {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
             "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": True}
(base / "config.json").write_text(json.dumps(described))
run, _ = runfile.load(None, ["model=base", "data=d", "batch=auto", "model.quantization=auto"], here=False)
lengths = [300] * 2000
keys = ["train.batch_size", "train.accumulation", "train.gradient_checkpointing", "model.quantization", "data.packing"]


def settled(free_gib, device="cuda", resume=False, run=run, hopper=False, lengths=lengths):
    here.free_bytes = lambda: int(free_gib * 2**30)
    here.records = lambda precision: hopper
    here.flops_per_second = lambda precision: 989e12
    asked = Asked(run, "", {}, folder, dry_run=False, resume=resume)
    found, told = settle.settle(asked, lengths, 0.5, base, Precision(torch.device(device), "bf16"))
    values = flat(found.settings)
    return [values[key] for key in (*keys, "model.dtype", "train.cuda_graphs")], list(told)



found = {"large": settled(80), "small": settled(5), "cpu": settled(0, "cpu")}
checkpoint = folder / "checkpoint-5"
checkpoint.mkdir(parents=True)
(checkpoint / "complete.json").write_text(json.dumps({"files": {}, "run": dict(zip(keys, found["small"][0]))}))
found["resumed"] = settled(80, resume=True)
given, _ = runfile.load(None, ["model=base", "data=d", "checkpointing=true"], here=False)
found["given"] = settled(80, run=given)
small, _ = runfile.load(None, ["model=base", "data=d", "checkpointing=false", "batch=2"], here=False)
found["recorded"] = settled(80, run=small, hopper=True)
found["elsewhere"] = settled(80, run=small)
words = ["model=base", "data=d", "checkpointing=false", "batch=2", "train.cuda_graphs=false"]
found["off"] = settled(80, run=runfile.load(None, words, here=False)[0], hopper=True)
auto, _ = runfile.load(None, ["model=base", "data=d", "batch=auto"], here=False)
found["narrow"] = settled(8, run=auto, hopper=True, lengths=[256] * 2000)
for window in (299, 300):  # of rows of 300
    more = {"model_type": "mistral", "sliding_window": window}
    (base / "config.json").write_text(json.dumps({**described, **more}))
    found[f"window {window}"] = settled(80, run=small, hopper=True)
(base / "config.json").write_text(json.dumps({**described, "model_type": "mixtral", "num_local_experts": 8,
                                              "num_experts_per_tok": 2}))
found["experts"] = settled(80, run=small, hopper=True)
(base / "config.json").write_text(json.dumps(described))
(checkpoint / "complete.json").write_text(json.dumps({"files": {}, "run": {"train.cuda_graphs": True}}))
found["goes on"] = settled(80, run=small, resume=True)
(checkpoint / "complete.json").write_text(json.dumps({"files": {}, "run": {}}))
found["older"] = settled(80, run=small, resume=True, hopper=True)
(base / "config.json").write_text(json.dumps({"model_type": "strange"}))
found["strange"] = settled(80)
print(json.dumps(found))
"""


def test_open_keys_are_settled_once_and_a_resumed_run_keeps_them(inside, tmp_path):
    """By free memory on a GPU, as ever on a CPU and for a model that is not known; a checkpoint's choice wins."""
    found = inside(tmp_path, SETTLED)

    assert [16, 1, False, "none", True, "auto", False] == found["large"][0]
    assert found["large"][1][0].startswith("Plan: ")
    batch, passes, _, _, packing, _, _ = found["small"][0]
    assert (16, True) == (batch * passes, packing) and found["small"][0] != found["large"][0]
    resumed, told = found["resumed"]
    assert [found["small"][0][:5], ["As checkpoint-5 was begun."]] == [resumed[:5], told]
    assert [[4, 4, True, "none", "auto", "auto", False], []] == found["cpu"]
    assert [[4, 4, True, "none", "auto", "auto", False], []] == found["given"]
    assert found["cpu"][0] == found["strange"][0] and found["strange"][1][0].startswith("Not planned: ")
    # Passes of 1,200 tokens are replayed where they can be, and a resumed run does as its checkpoint did.
    given = [2, 4, False, "none", "auto", "auto"]
    assert [*given, True] == found["recorded"][0] == found["goes on"][0]
    assert found["recorded"][1][0].startswith(
        "Passes are replayed as CUDA graphs: one of 1,200 tokens takes the GPU "
    )
    assert [[*given, False], []] == found["elsewhere"] == found["off"]
    assert [*given, "auto"] == found["older"][0]
    # A row that is longer than a layer sees back, and experts, cannot be.
    assert [True, False, False] == [found[kind][0][6] for kind in ("window 300", "window 299", "experts")]
    # Where memory asks for small passes, replaying them is faster than computing layers again.
    assert False is found["narrow"][0][2] and True is found["narrow"][0][6], found["narrow"]
