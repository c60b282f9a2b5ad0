"""Adapters piece by piece: targets of each family, starts, preparations, learning rates."""

import pytest

FAMILIES = """
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from envdoc.train import adapters, config

small = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
plain = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             bos_token_id=1, eos_token_id=2)
families = {name: small for name in
            ("llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text", "phi", "phi3")}
families["glm4"] = {**small, "head_dim": 8}
families["mixtral"] = {**small, "num_local_experts": 4}
families["gpt2"] = dict(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)
families["gpt_neox"] = families["falcon"] = plain
families["bloom"] = dict(vocab_size=64, hidden_size=32, n_layer=2, n_head=4)
families["opt"] = {**plain, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 64}
run = config.Run(lora=config.Lora(dropout=0))
told = {}
ids = torch.arange(3, 19).reshape(2, 8)
for name, values in families.items():
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **values))
    every = adapters.find_targets(base, every=True)[0]
    model = adapters.lay_adapter(base, run)
    model.train()
    model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float().logsumexp(-1).sum().backward()
    moved = [bool(p.grad is not None and p.grad.any()) for n, p in model.named_parameters() if "lora_B" in n]
    laid = model.peft_config["default"]
    told[name] = [sorted(laid.target_modules), every, laid.fan_in_fan_out, all(moved), adapters.notes(model)]
"""

LLAMAS = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
NEOX = ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"]
TARGETS = {
    **dict.fromkeys(["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text"], LLAMAS),
    "phi": ["dense", "fc1", "fc2", "k_proj", "q_proj", "v_proj"],
    "phi3": ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"],
    "glm4": ["down_proj", "gate_up_proj", "k_proj", "o_proj", "q_proj", "v_proj"],
    "mixtral": ["k_proj", "o_proj", "q_proj", "v_proj"],
    "gpt2": ["c_attn"],
    "gpt_neox": NEOX,
    "falcon": NEOX,
    "bloom": NEOX,
    "opt": ["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"],
}

# PiSSA by itself, the two preparations, two learning rates, and what the libraries do with an adapter of ours.
PIECES = """
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
import bitsandbytes, peft
from peft import PeftModel
from envdoc.train import checkpoint, compat, evaluation, model as models, optimizers, starts
from envdoc.train.tiny import make_tiny

make_tiny(Path("base"), ["What is two? Two is 2."] * 20, 0)

def fresh(quantization="none", dtype="fp32"):
    told = config.Model("base", quantization=quantization)
    return models.load_base(Path("base").absolute(), told, models.Precision(torch.device("cpu"), dtype))

def apart(one, other):
    return float((one - other).abs().max())

lora = config.Lora(r=4, alpha=8, dropout=0, init="pissa")
pissa = replace(run, lora=lora, train=config.Train(gradient_checkpointing=False))
base = fresh()
before = {name: value.clone() for name, value in base.state_dict().items()}
plain = base(input_ids=ids).logits
adapted = adapters.lay_adapter(base, pissa)
kept = all(torch.equal(value, before[name.replace(".base_layer", "")])
           for name, value in adapted.base_model.model.state_dict().items() if "lora" not in name)
start = apart(adapted(input_ids=ids).logits, plain)
a = adapted.base_model.model.model.layers[0].self_attn.q_proj
largest = float(torch.linalg.matrix_norm(before["model.layers.0.self_attn.q_proj.weight"], 2))
taken = float(torch.linalg.matrix_norm(2 * a.lora_B["default"].weight @ a.lora_A["default"].weight, 2))
with torch.no_grad():
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            parameter.mul_(1.1)
trained = adapted(input_ids=ids).logits
checkpoint.save_adapter(adapted, Path("saved"))
loaded = PeftModel.from_pretrained(fresh(), "saved")(input_ids=ids).logits
starts.settle(adapted)
settled = adapted(input_ids=ids).logits
told["pissa"] = {"kept": kept, "start": start, "largest": [largest, taken], "effect": apart(trained, plain),
                 "loaded": apart(trained, loaded), "settled": apart(trained, settled)}

told["preparation"] = {}
for form in ("full", "lean"):
    asked = config.Model("base", quantization="4bit", preparation=form)
    prepared = adapters.prepare(fresh("4bit", "bf16"), asked, True)
    embeddings = prepared.get_input_embeddings()
    told["preparation"][form] = [
        *[str(module.weight.dtype) for module in (embeddings, prepared.model.norm, prepared.lm_head)],
        prepared.is_gradient_checkpointing, prepared.config.use_cache,
        any(p.requires_grad for p in prepared.parameters()), embeddings(ids).requires_grad]

compat.set_tf32(False)
told["tf32"] = [torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision]
compat.set_tf32(True)
told["tf32"] += [torch.backends.cuda.matmul.fp32_precision]

flag = lambda: getattr(bitsandbytes.MatmulLtState, "memory_efficient_backward", "none")
told["flag"] = []
for peft.__version__ in (peft.__version__, "0.13.2"):  # what that peft itself does: scripts/prove-int8-legacy
    fresh("8bit")
    told["flag"].append(flag())

nan = float("nan")
courses = [(3, 2, 1), (1, 2), (1, 2, 3), (1, 1, 1), (3, 1, 2, 0.5), (1, nan, nan)]
told["over"] = [evaluation.is_over(list(enumerate(losses, 1)), 2) for losses in courses]

told["warmup"] = [optimizers.warmup_updates(config.Train(warmup_fraction=0.03, schedule=schedule), total)
                  for schedule, total in (("cosine", 1), ("cosine", 2), ("linear", 100), ("constant", 100))]

plus = replace(run, lora=config.Lora(r=4, plus_ratio=16))
rated = adapters.lay_adapter(fresh(), plus)
asked = compat.trainer_arguments({"output_dir": ".", "use_cpu": True, "learning_rate": 0.001})
groups = optimizers.make_loraplus(SimpleNamespace(args=asked, model=rated), plus).param_groups
name_of = {id(parameter): name for name, parameter in rated.named_parameters()}
told["plus"] = sorted({(name_of[id(parameter)].split(".lora_")[1][0], group["lr"])
                       for group in groups for parameter in group["params"]})
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(inside, tmp_path_factory):
    """What the pieces say for themselves, all of one process."""
    return inside(tmp_path_factory.mktemp("pieces"), FAMILIES + PIECES)


@pytest.mark.slow
def test_targets_of_every_family(told):
    """All linear layers but head and router; `query_key_value` and `c_attn` alone where the published recipes do so."""
    found = {name: told[name] for name in TARGETS}

    assert TARGETS == {name: targets for name, (targets, *_) in found.items()}
    assert ["c_attn", "c_fc", "c_proj"] == found["gpt2"][1]
    assert {"gpt2"} == {name for name, (_, _, conv1d, *_) in found.items() if conv1d}
    assert [] == [name for name, (*_, moved, _) in found.items() if not moved]  # under checkpointing, too
    assert {"mixtral"} == {name for name, (*_, notes) in found.items() if notes}
    assert "36,864 of 54,688 parameters stay as they are" in found["mixtral"][-1][0]


@pytest.mark.slow
def test_pissa_leaves_the_base_and_saves_what_it_trained(told):
    """The base keeps every bit; the start is its largest component and changes nothing; plain peft loads the rest."""
    pissa = told["pissa"]

    assert pissa["kept"] is True
    assert pissa["start"] < 1e-5 < 1e-2 < pissa["effect"]
    assert pytest.approx(pissa["largest"][0], rel=1e-4) == pissa["largest"][1]
    assert pissa["loaded"] < 1e-5 and pissa["settled"] < 1e-5


@pytest.mark.slow
def test_two_preparations_of_a_quantised_base(told):
    """Full casts embeddings, norms and head to fp32; lean casts none; both freeze, checkpoint, and drop the cache."""
    fp32, bf16 = ["torch.float32"] * 3, ["torch.bfloat16"] * 3
    same = [True, False, False, True]

    assert {"full": fp32 + same, "lean": bf16 + same} == told["preparation"]


@pytest.mark.slow
def test_smaller_pieces(told):
    """TF32 through the torch of today; when a run is over; LoRA+'s two learning rates; bitsandbytes' lost flag, which a
    peft before 0.14 wants of every 8-bit layer; the length of the warm-up."""
    assert ["ieee", "ieee", "tf32"] == told["tf32"]
    assert [False, False, True, True, False, True] == told["over"]
    assert [["A", 0.001], ["B", 0.016]] == told["plus"]
    assert ["none", False] == told["flag"]
    assert [0, 1, 3, 0] == told["warmup"]  # of a single update nothing, or it would train nothing
