"""After training: merge, export, chat, on a real run's adapter."""

import json
import shutil

import pytest
from train_children import losses

RUN = ["lora.dropout=0", "train.steps=25", "train.learning_rate=0.02", "proof=same"]


@pytest.fixture(scope="module")
def trained(forked, tmp_path_factory):
    """A folder with a run on an fp32 base, and one on the same base in 4 bits."""
    folder = tmp_path_factory.mktemp("after")
    first = forked.finish(["train", "name=plain", *RUN], folder)
    assert 0 == first.returncode, first.stderr
    second = ["train", "name=nf4", "model=runs/plain/base", "data=bundled", "model.quantization=4bit", *RUN]
    done = forked.finish(second, folder)
    assert 0 == done.returncode, done.stderr
    assert losses(folder / "runs/plain") != losses(folder / "runs/nf4")
    return folder


LOGITS = """
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import PeftModel
ids = torch.tensor([[5, 17, 300, 301, 44, 9]])
def answers(model):
    with torch.no_grad():
        return model(input_ids=ids).logits.float()
base = AutoModelForCausalLM.from_pretrained("runs/plain/base")
plain = answers(base)
adapted = answers(PeftModel.from_pretrained(base, "runs/NAME/adapter"))
merged = answers(AutoModelForCausalLM.from_pretrained("OUT", dtype=torch.float32))
print(json.dumps([float((merged - adapted).abs().max()), float((plain - adapted).abs().max())]))
"""


def test_the_merged_model_answers_as_base_and_adapter_do(trained, forked, inside):
    """In fp32 to rounding, in bf16 to its own; loaded by transformers alone; the base's description byte by byte."""
    exact = forked.finish(["merge", "runs/plain", "exact", "--dtype", "fp32"], trained)
    rounded = forked.finish(["merge", "runs/plain/adapter", "rounded"], trained)

    apart, effect = inside(trained, LOGITS.replace("NAME", "plain").replace("OUT", "exact"))
    apart_16, effect_16 = inside(trained, LOGITS.replace("NAME", "plain").replace("OUT", "rounded"))

    assert (0, 0) == (exact.returncode, rounded.returncode), exact.stderr + rounded.stderr
    assert effect == effect_16 > 1.0
    assert apart < 1e-4 < apart_16 < 0.1 * effect
    assert "in bf16" in rounded.stdout and "it needs no peft" in rounded.stdout
    assert "The model as trained and the merged one differ" in rounded.stdout
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (trained / "runs/plain/base" / name).read_bytes() == (trained / "rounded" / name).read_bytes()
    told = json.loads((trained / "rounded/envdoc-merge.json").read_text())
    assert (True, "bf16") == (told["kept"], told["dtype"])
    assert told["largest_difference_of_logits"]["merged_and_adapted"] > 0


def test_an_adapter_of_a_4_bit_base_is_merged_into_the_unquantised_one(trained, forked, inside):
    """The merged model is base plus adapter in full, and what 4 bits had changed is told as a number."""
    done = forked.finish(["merge", "runs/nf4", "from-nf4", "--dtype", "fp32"], trained)

    apart, effect = inside(trained, LOGITS.replace("NAME", "nf4").replace("OUT", "from-nf4"))

    assert 0 == done.returncode, done.stderr
    assert apart < 1e-4 < 1.0 < effect
    assert "The model as trained (base in 4bit) and the merged one differ by up to" in done.stdout


def test_a_merge_that_loses_the_adapter_is_no_success(trained, forked, inside):
    """An adapter too weak for bf16 is told to be lost in it, with exit code 1, and survives in fp32."""
    shutil.copytree(trained / "runs/plain/adapter", trained / "weak")
    (trained / "weak/envdoc-receipt.json").unlink()
    weaken = """
from safetensors.torch import load_file, save_file
path = "weak/adapter_model.safetensors"
save_file({name: value * (2e-5 if "lora_B" in name else 1) for name, value in load_file(path).items()}, path)
print(1)
"""
    inside(trained, weaken)

    lost = forked.finish(["merge", "weak", "lost"], trained)
    kept = forked.finish(["merge", "weak", "kept", "--dtype", "fp32"], trained)

    assert (1, 0) == (lost.returncode, kept.returncode), lost.stderr + kept.stderr
    assert (
        "The model in `lost` is NOT the trained one: bf16 rounds too much of the adapter away." in lost.stdout
    )
    assert json.loads((trained / "lost/envdoc-merge.json").read_text())["kept"] is False


def test_merge_and_export_refuse_in_one_sentence(trained, forked):
    """What is there stays; a quantised base, no checkout of llama.cpp, no adapter: exit code 2, nothing written."""
    (trained / "there").mkdir(exist_ok=True)
    (trained / "there/file").write_text("mine")
    shutil.copytree(trained / "runs/plain/base", trained / "stored", dirs_exist_ok=True)
    config = json.loads((trained / "stored/config.json").read_text())
    stored = {**config, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (trained / "stored/config.json").write_text(json.dumps(stored))
    expected = {
        ("merge", "runs/plain", "there"): "error: `there` is there already.",
        ("merge", "runs/plain", "new", "--base", "stored"): "are stored quantised (bitsandbytes)",
        ("merge", "runs/plain/base", "new"): "holds no adapter",
        ("merge", "runs/plain", "new", "--base", "nowhere"): "There is no model folder `nowhere`.",
        ("export", "runs/plain", "new"): "no checkout of it was named",
        ("export", "runs/plain", "new", "--llama-cpp", "there"): "is no checkout of llama.cpp",
        (
            "export",
            "runs/plain",
            "there/file",
            "--llama-cpp",
            "there",
        ): "error: `there/file` is there already.",
        ("chat", "runs/plain", "--temperature", "-1"): "`--temperature` is out of range",
    }

    for words, sentence in expected.items():
        done = forked.finish(words, trained)
        assert (2, True) == (done.returncode, sentence in done.stderr), done.stderr
        assert "Traceback" not in done.stderr
    assert "mine" == (trained / "there/file").read_text()
    assert not (trained / "new").exists()
    assert [] == list(trained.glob(".partial-*"))


def test_chat_answers_what_was_trained_and_without_the_adapter_something_else(trained, forked):
    """Lines in, answers out; /base leaves the adapter out, /new forgets, a word that is no command is told."""
    question = (
        json.loads((trained / "rows").read_text()) if (trained / "rows").exists() else "Say hello in French."
    )
    lines = [question, "/base", question, "/base", "/new", question, "/what", "/exit", "never asked"]

    done = forked.finish(["chat", "runs/plain", "--max-tokens", "12"], trained, stdin="\n".join(lines) + "\n")

    said = done.stdout.splitlines()
    assert 0 == done.returncode, done.stderr
    assert "Without the adapter: the base alone." in said
    assert "`/what` is no command; there are /base, /new, /exit." in said
    before = done.stdout.index("Without the adapter")
    between, after = done.stdout.index("With the adapter."), done.stdout.index("A new conversation.")
    first, base = done.stdout[:before], done.stdout[before:between].split("\n", 1)[1]
    again = done.stdout[after:].split("\n", 1)[1].split("`/what`")[0]
    assert first == again
    assert first != base


LOADED = """
import contextlib, dataclasses, io
from pathlib import Path
from envdoc.train import chat, laid, model
from envdoc.train.errors import ModelError
found = laid.find(Path("runs/nf4"), None)
seen = {}
def loaded(name, quantization=None, **settings):
    as_it_was = dataclasses.replace(found, model=dataclasses.replace(found.model, **settings))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            base = chat.begin(as_it_was, quantization, None, chat.Sampling(1, 0, 1, 0)).model.get_base_model()
    except ModelError as error:
        seen[name] = error.message.split(",")[0]
        return
    layer = base.model.layers[0]
    seen[name] = [str(layer.input_layernorm.weight.dtype)[6:], type(layer.mlp.up_proj.base_layer).__name__,
                  said.getvalue().count("note:")]
loaded("full", dtype="bf16")
loaded("lean", dtype="bf16", preparation="lean")
loaded("fp16", dtype="fp16")
loaded("asked for", quantization="none", dtype="bf16")
def broken(kind, precision):
    raise ModelError(f"`model.quantization` is {kind}, and bitsandbytes is broken.")
model.check_quantisation = broken
loaded("cannot be", dtype="bf16")
loaded("cannot be and is asked for", quantization="4bit")
print(json.dumps(seen))
"""


def test_a_base_is_loaded_as_it_was_trained_on_or_as_this_machine_can(trained, inside):
    """Prepared as in training: norms in fp32, or lean; told where dtype or quantisation cannot be; refused if asked."""
    assert {
        "full": ["float32", "Linear4bit", 0],
        "lean": ["bfloat16", "Linear4bit", 0],
        "fp16": ["float32", "Linear4bit", 1],
        "asked for": ["bfloat16", "Linear", 0],
        "cannot be": ["bfloat16", "Linear", 1],
        "cannot be and is asked for": "`model.quantization` is 4bit",
    } == inside(trained, LOADED)
