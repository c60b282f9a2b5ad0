"""Base models of many shapes: quantised, Conv1D, fused attention, with code of their own; and what is refused."""

import json
import sys

import pytest
from train_children import LAUNCH, child, losses, receipt

MODELS = """
from pathlib import Path
from envdoc.train.tiny import make_tiny
import torch
from transformers import (AutoTokenizer, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM,
                          LlamaForCausalLM)

make_tiny(Path("llama"), ["What is two? Two is 2. 二是什么？"] * 20, 0)
tokenizer = AutoTokenizer.from_pretrained("llama")
ids = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 2}
gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=256, **ids))
neox = GPTNeoXForCausalLM(GPTNeoXConfig(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=256,
    **ids))
wild = LlamaForCausalLM.from_pretrained("llama")
with torch.no_grad():
    wild.model.norm.weight.fill_(float("nan"))
for name, model in (("gpt2", gpt2), ("neox", neox), ("wild", wild)):
    model.save_pretrained(name)
    tokenizer.save_pretrained(name)
coded = Path("coded")
LlamaForCausalLM.from_pretrained("llama").save_pretrained(coded)
tokenizer.save_pretrained(coded)
config = json.loads((coded / "config.json").read_text())
config["auto_map"] = {"AutoModelForCausalLM": "mine.Mine", "AutoConfig": "mine.MineConfig"}
config["model_type"] = "mine"
(coded / "config.json").write_text(json.dumps(config))
(coded / "mine.py").write_text(
    "from transformers import LlamaConfig, LlamaForCausalLM\\n"
    "open('ran', 'w').close()\\n"
    "class MineConfig(LlamaConfig):\\n    model_type = 'mine'\\n"
    "class Mine(LlamaForCausalLM):\\n    config_class = MineConfig\\n"
)
(Path("empty")).mkdir()
with open("rows.jsonl", "w") as rows:
    for n in range(24):
        rows.write(json.dumps({"instruction": f"What is {n}?", "output": f"It is {n}, {n}, {n}."}) + "\\n")
print(json.dumps("made"))
"""

COMMON = ["data=rows.jsonl", "train.steps=6", "train.batch_size=4", "train.accumulation=1", "lora.dropout=0"]


@pytest.fixture(scope="module")
def models(inside, tmp_path_factory):
    """A folder with small models of several shapes and one file of rows."""
    folder = tmp_path_factory.mktemp("models")
    assert "made" == inside(folder, MODELS)
    return folder


@pytest.mark.slow
def test_every_shape_trains_to_a_real_adapter(models, launch_many):
    """Llama, GPT-2 (Conv1D, fan_in_fan_out) and GPT-NeoX (query_key_value, embed_out): targets and proof."""
    names = ("llama", "gpt2", "neox")

    trained = launch_many(
        models, *[["train", f"model={name}", "train.learning_rate=0.01", *COMMON] for name in names]
    )
    verified = launch_many(models, *[["verify", f"runs/{name}-rows/adapter"] for name in names])

    assert [0, 0, 0] == [result["code"] for result in trained], trained
    assert [0, 0, 0] == [result["code"] for result in verified], verified
    configs = {
        name: json.loads((models / f"runs/{name}-rows/adapter/adapter_config.json").read_text())
        for name in names
    }
    projections = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert (projections, False) == chosen(configs["llama"])
    assert ({"c_attn"}, True) == chosen(configs["gpt2"])
    assert ({"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}, False) == chosen(configs["neox"])
    for name in names:
        pairs = losses(models / f"runs/{name}-rows")
        assert pairs[-1][1] < pairs[0][1], name
        assert str(models / name) == configs[name]["base_model_name_or_path"]


def chosen(config):
    return set(config["target_modules"]), config["fan_in_fan_out"]


@pytest.mark.slow
def test_quantised_bases_train_on_a_cpu(models, launch_many):
    """4-bit (NF4, double quantisation) and 8-bit bases by bitsandbytes: trained, proved, verified again."""
    words = ["train", "model=llama", "train.learning_rate=0.01", *COMMON]

    four, eight, check_four, check_eight = launch_many(
        models,
        [*words, "name=four", "model.quantization=4bit"],
        [*words, "name=eight", "model.quantization=8bit", "train.gradient_checkpointing=false"],
        ["verify", "runs/four/adapter", "--format", "json"],
        ["verify", "runs/eight/adapter", "--format", "json"],
    )

    assert [0, 0, 0, 0] == [result["code"] for result in (four, eight, check_four, check_eight)], (
        four,
        eight,
    )
    assert "base in 4bit" in four["out"] and "base in 8bit" in eight["out"]
    assert "" == check_four["err"] == check_eight["err"]  # loaded quantised, as trained
    first = [losses(models / f"runs/{name}")[0][1] for name in ("four", "eight")]
    assert first[0] != first[1]  # two roundings of one model


@pytest.mark.slow
def test_what_must_not_change_the_loss_does_not(models, launch_many):
    """Gradient checkpointing on and off: equal. 4 x 1 and 1 x 4 rows an update: equal but for rounding."""
    words = ["train", "model=llama", "train.learning_rate=0.01", *COMMON]
    variants = {
        "on": ["train.gradient_checkpointing=true"],
        "off": ["train.gradient_checkpointing=false"],
        "split": ["train.batch_size=1", "train.accumulation=4"],
        "uneven": ["train.batch_size=3", "train.accumulation=2", "train.steps=4"],
        "joined": ["train.batch_size=6", "train.accumulation=1", "train.steps=4"],
    }

    done = launch_many(models, *[[*words, *extra, f"name=same-{name}"] for name, extra in variants.items()])

    assert [0] * 5 == [result["code"] for result in done], done
    found = {name: [loss for _, loss in losses(models / f"runs/same-{name}")] for name in variants}
    assert found["on"] == found["off"]
    hashes = [receipt(models / f"runs/same-{name}")["adapter"]["sha256"] for name in ("on", "off")]
    assert hashes[0] == hashes[1]
    assert pytest.approx(found["on"], rel=1e-4) == found["split"]
    assert pytest.approx(found["joined"], rel=1e-4) == found["uneven"]


@pytest.mark.slow
def test_bf16_trains_on_a_cpu_with_an_adapter_in_fp32(models, patient):
    """`model.dtype=bf16`: the base in bf16, the trained weights and the file in fp32."""
    words = ["model=llama", "model.dtype=bf16", "name=bf16", "train.learning_rate=0.01", *COMMON]

    done = child(patient, [LAUNCH, "train", *words], models)

    assert 0 == done.returncode, done.stderr
    assert "bf16 on cpu" in done.stdout
    told = receipt(models / "runs/bf16")
    assert told["adapter"]["bytes"] > 4 * 116_736  # the adapter's numbers at r=16, at four bytes each
    pairs = losses(models / "runs/bf16")
    assert pairs[-1][1] < pairs[0][1]


def test_what_cannot_be_trained_is_refused_in_a_sentence(models, launch_many):
    """Missing or unfit models, fp16 on a CPU, unknown targets, a model's own code: exit 2, a sentence, a hint."""
    cases = {
        ("model=none",): "There is no model folder `none`.",
        ("model=empty",): "has no config.json, so it is no model folder.",
        ("model=llama", "model.dtype=fp16"): "`model.dtype` is fp16, and torch sees no GPU",
        (
            "model=llama",
            "lora.targets=c_attn",
        ): "`lora.targets` names `c_attn`, and no linear layer of the base",
        ("model=coded",): "runs Python code of its own.",
        (
            "model=coded",
            "model.trust_remote_code=true",
            "model.revision=main",
        ): "`model.revision` is main, and the",
        ("model=llama", "output=rows.jsonl"): "is a file; a run needs a folder.",
        ("model=llama", "data=none.jsonl"): "There is no data file `none.jsonl`.",
        ("model=llama", "output=/proc/envdoc"): "The run's folder `/proc/envdoc` cannot be made",
        ("model=llama", "data.max_length=16"): "tokens long, and `data.max_length` is 16.",
    }

    done = launch_many(models, *[["train", *COMMON, "name=refused", *words] for words in cases])

    for result, (words, message) in zip(done, cases.items()):
        errors = [line for line in result["err"].splitlines() if not line.startswith(("Loading", "hint:"))]
        assert (2, 1) == (result["code"], len(errors)), (words, result)
        assert errors[0].startswith("error: ") and message in errors[0], (words, errors)
    pinned = done[4]["err"].split("model.revision=")[1].split("`")[0]
    assert 64 == len(pinned)
    assert not (models / "ran").exists()  # the model's code never ran

    agreed, verified = launch_many(
        models,
        [
            "train",
            *COMMON,
            "name=coded",
            "model=coded",
            "model.trust_remote_code=true",
            f"model.revision={pinned}",
        ],
        ["verify", "runs/coded/adapter"],
    )
    assert (0, 0, True) == (agreed["code"], verified["code"], (models / "ran").exists()), (agreed, verified)


def test_a_loss_that_is_no_number_stops_the_run(models, launch_many):
    """The first non-finite loss ends training with exit 1 and one sentence; nothing is saved as an adapter."""
    (done,) = launch_many(models, ["train", "model=wild", *COMMON])

    assert 1 == done["code"]
    message = done["err"].splitlines()[-2]
    assert (
        "error: The loss at step 1 is nan; training stopped before the update. The first output that is not finite is "
        "that of `model.norm` (LlamaRMSNorm), whose weights are not finite. No update before it did well."
    ) == message
    assert [] == [path for path in (models / "runs/wild-rows").rglob("adapter*")]


def test_nothing_is_asked_of_a_broken_interpreter(tmp_path, models):
    """An interpreter without torch: exit 2 and one sentence that names it."""
    done = child(sys.executable, [LAUNCH, "train", "model=llama", "name=none", *COMMON], models)

    assert 2 == done.returncode
    assert f"error: `{sys.executable}` cannot import what training needs: No module named" in done.stderr
    assert "Traceback" not in done.stderr
