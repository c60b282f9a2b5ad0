"""DeepSpeed's JSON against the run file: what goes through, what is filled in, and what is refused with both values."""

import json

import pytest

from envdoc.train import runfile
from envdoc.train.errors import ConfigError
from envdoc.train.parallel import deepspeed_file

# As transformers' users write it; every "auto" that the run decides is there.
USUAL = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto", "loss_scale": 0, "initial_scale_power": 16},
    "optimizer": {
        "type": "AdamW",
        "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"},
    },
    "scheduler": {"type": "WarmupCosineLR", "params": {"warmup_num_steps": "auto"}},
    "zero_optimization": {"stage": 3, "overlap_comm": True, "reduce_bucket_size": "auto"},
    "steps_per_print": 50,
}


@pytest.fixture
def run_with(tmp_path):
    """A function: a run whose `parallel.deepspeed` names a file with this JSON (a text as it is)."""

    def make(content, *words):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "zero.json").write_text(text, encoding="utf-8")
        words = ["train.batch_size=4", "train.accumulation=8", "train.learning_rate=1e-3", *words]
        words += ["parallel.strategy=deepspeed", f"parallel.deepspeed={tmp_path / 'zero.json'}"]
        return runfile.load(None, words, here=False)[0]

    return make


def test_what_the_run_decides_is_filled_in_and_the_rest_goes_through(run_with):
    """DeepSpeed gets the run's rows and clipping; no precision, optimizer or schedule, which stay the run's own."""
    run = run_with(USUAL)
    told = deepspeed_file.merged(deepspeed_file.read(run), run, processes=2, dtype="bf16", trained=5000)

    assert {
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": {"stage": 3, "overlap_comm": True, "reduce_bucket_size": 5000},
        "steps_per_print": 50,
        "train_batch_size": 32,
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 1.0,
    } == told


def test_a_value_that_says_the_same_is_let_through(run_with):
    """As is a bucket of the user's own."""
    same = {
        "train_batch_size": 32,
        "gradient_clipping": 1,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": 1, "reduce_bucket_size": 7},
    }
    run = run_with(same, "model.dtype=bf16")
    told = deepspeed_file.merged(deepspeed_file.read(run), run, 2, "bf16", 5000)
    assert 7 == told["zero_optimization"]["reduce_bucket_size"]


ZERO = {"zero_optimization": {"stage": 2}}


@pytest.mark.parametrize(
    "content, message",
    [
        (
            {**ZERO, "train_batch_size": 64},
            "`train_batch_size` in `zero.json` is 64, and the run says 32 (`train.batch_size` times "
            "`train.accumulation`).",
        ),
        (
            {**ZERO, "gradient_clipping": 0.5},
            "`gradient_clipping` in `zero.json` is 0.5, and the run says 1.0 (`train.max_grad_norm`).",
        ),
        (
            {**ZERO, "fp16": {"enabled": True}},
            "`fp16.enabled` in `zero.json` is true, and the run says false (`model.dtype`, fp32).",
        ),
        (
            {**ZERO, "optimizer": {"type": "Lion"}},
            '`optimizer.type` in `zero.json` is "Lion", and the run says "AdamW" (`train.optimizer`).',
        ),
        (
            {**ZERO, "optimizer": {"type": "AdamW", "params": {"lr": 0.01}}},
            "`optimizer.params.lr` in `zero.json` is 0.01, and the run says 0.001 (`train.learning_rate`).",
        ),
        (
            {**ZERO, "optimizer": {"type": "AdamW", "params": {"torch_adam": True}}},
            "`optimizer.params.torch_adam` in `zero.json` is true: the run's own optimizer trains, of which no key "
            "says that.",
        ),
        (
            {**ZERO, "scheduler": {"type": "WarmupDecayLR"}},
            '`scheduler.type` in `zero.json` is "WarmupDecayLR", and the run says "WarmupCosineLR" (`train.schedule`).',
        ),
        ({}, "`zero.json` names no `zero_optimization.stage`."),
        (
            {"zero_optimization": {"stage": 4}},
            "`zero_optimization.stage` in `zero.json` is 4, and must be 1, 2 or 3.",
        ),
        (
            {"zero_optimization": {"stage": 2, "zero_quantized_gradients": True}},
            "`zero_optimization.zero_quantized_gradients` in `zero.json` is true, which envdoc does not offer.",
        ),
        (
            {"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}},
            '`zero_optimization.offload_param.device` in `zero.json` is "nvme", and must be none or cpu.',
        ),
        (
            {**ZERO, "zero_optimisation": {}},
            "`zero.json` has the key `zero_optimisation`, which a run does not",
        ),
        (
            {**ZERO, "activation_checkpointing": {"cpu_checkpointing": True}},
            "`activation_checkpointing` in `zero.json` has no place in a run: `train.gradient_checkpointing` says",
        ),
        ("{", "`{folder}/zero.json`, which `parallel.deepspeed` names, is no JSON: Expecting"),
        (
            '{"steps_per_print": 1, "steps_per_print": 2}',
            "`{folder}/zero.json`: the key `steps_per_print` is there twice",
        ),
        ("[]", "`{folder}/zero.json` must hold keys and values, and holds a list."),
    ],
)
def test_a_contradiction_is_refused_with_both_values(run_with, tmp_path, content, message):
    """Each with one sentence that begins like this; nothing is overruled in silence."""
    run = run_with(content, "model.dtype=fp32")
    with pytest.raises(ConfigError) as refused:
        deepspeed_file.read(run)
    assert refused.value.message.startswith(message.replace("{folder}", str(tmp_path)))


def test_what_only_the_device_decides_is_refused_later(run_with):
    """`model.dtype=auto` is known once there is a device, and the share of a process once their number is."""
    raw = {**ZERO, "bf16": {"enabled": True}}
    run = run_with(raw)
    with pytest.raises(ConfigError) as dtype:
        deepspeed_file.merged(deepspeed_file.read(run), run, 2, "fp32", 1)
    share = run_with({**ZERO, "gradient_accumulation_steps": 8})
    with pytest.raises(ConfigError) as processes:
        deepspeed_file.merged(deepspeed_file.read(share), share, 2, "fp32", 1)

    assert "`bf16.enabled` in `zero.json` is true, and the run says false (`model.dtype`, here fp32)." in (
        dtype.value.message
    )
    assert "is 8, and the run says 4 (`train.accumulation` over 2 processes)" in processes.value.message


@pytest.mark.parametrize("word", ["lora.dora=true", "lora.init=olora", "eval.samples=a,b"])
def test_stage_3_refuses_what_needs_a_whole_base(run_with, word):
    """Stages 1 and 2 leave the base whole, and take it."""
    deepspeed_file.read(run_with(ZERO, word))
    with pytest.raises(ConfigError) as refused:
        deepspeed_file.read(run_with({"zero_optimization": {"stage": 3}}, word))
    assert f"is 3, and `{word.split('=')[0]}` is given" in refused.value.message


def test_a_resumed_run_must_tell_deepspeed_the_same(run_with):
    """Every value by its key, and a hash of all for a key that is gone; what the run decides is compared elsewhere."""
    zero = {"stage": 2, "overlap_comm": True, "reduce_bucket_size": "auto"}
    first, fewer = (
        deepspeed_file.identity(deepspeed_file.read(run_with({**USUAL, "zero_optimization": section})))
        for section in (zero, {"stage": 2})
    )
    digests = {identity.pop("the hash of DeepSpeed's configuration") for identity in (first, fewer)}

    stage = {"deepspeed steps_per_print": 50, "deepspeed zero_optimization.stage": 2}
    assert {**stage, "deepspeed zero_optimization.overlap_comm": True} == first
    assert stage == fewer
    assert 2 == len(digests)


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["parallel.strategy=deepspeed"],
            "`parallel.strategy` is deepspeed, and `parallel.deepspeed` names no file",
        ),
        (
            ["parallel.deepspeed=a.json"],
            "`parallel.deepspeed` names a configuration, and `parallel.strategy` is not",
        ),
        (
            ["parallel.strategy=deepspeed", "parallel.deepspeed=a.json", "train.optimizer=adafactor"],
            "`train.optimizer` is adafactor, which looks at rows and columns",
        ),
    ],
)
def test_strategy_and_file_go_together(words, message):
    """Neither means anything without the other."""
    with pytest.raises(ConfigError) as refused:
        runfile.load(None, words, here=False)
    assert refused.value.message.startswith(message)


def test_a_missing_library_is_one_sentence_with_the_command(monkeypatch):
    """Told before any process is started."""
    monkeypatch.setattr(deepspeed_file, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as refused:
        deepspeed_file.check_installed()
    assert "this environment has no package `deepspeed`" in refused.value.message
    assert "-m pip install deepspeed`" in refused.value.hint
