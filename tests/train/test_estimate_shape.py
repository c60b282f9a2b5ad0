"""A model's shape from its config.json alone, against the model that transformers builds from it without weights."""

from pathlib import Path

import pytest

from envdoc.train.errors import ModelError
from envdoc.train.estimate.shape import read_shape, shape_of

# Families with values that are not their defaults where these would hide a difference.
FAMILIES = {
    "llama": {"num_key_value_heads": 8},
    "llama with biases": {"attention_bias": True, "mlp_bias": True, "head_dim": 64},
    "mistral": {},
    "qwen2": {"num_key_value_heads": 4},
    "qwen3": {"num_key_value_heads": 8},
    "gemma": {"num_key_value_heads": 1},
    "gemma2": {},
    "gemma3_text": {},
    "phi": {},
    "phi3": {"num_key_value_heads": 8},
    "gpt2": {},
    "gptj": {},
    "gpt_neox": {},
    "bloom": {},
    "opt": {},
    "starcoder2": {},
    "stablelm": {},
    "olmo2": {},
    "smollm3": {"num_hidden_layers": 2},
    "granite": {},
    "glm": {},
    "glm4": {},
    "mixtral": {},
    "qwen2_moe": {},
    "qwen3_moe": {"num_key_value_heads": 4},
}

BUILT = """
import torch
from pathlib import Path
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D
from envdoc.train.estimate.shape import read_shape
differ = {}
for name, values in FAMILIES.items():
    config = AutoConfig.for_model(name.split()[0], **values)
    for key in ("num_hidden_layers", "n_layer"):
        if hasattr(config, key):
            setattr(config, key, 2)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:2]
    folder = Path(name.replace(" ", "-"))
    config.save_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shape = read_shape(folder)
    linears = {}
    for path, module in model.named_modules():
        if ".1." in path and isinstance(module, (torch.nn.Linear, Conv1D)):
            inputs, outputs = module.weight.shape if isinstance(module, Conv1D) else module.weight.shape[::-1]
            linears[path] = [inputs, outputs, module.bias is not None]
    missing = []
    for linear in shape.linears:
        found = [path for path, what in linears.items() if path.endswith("." + linear.name)
                 and what == [linear.inputs, linear.outputs, linear.bias]]
        if linear.experts or (linear.router and not found):
            continue  # one three-dimensional weight; the router is a module of its own kind
        if len(found) != 1:
            missing.append(linear.name)
        else:
            linears.pop(found[0])
    whole = sum(parameter.numel() for parameter in model.parameters())
    if missing or linears or whole != shape.parameters or shape.layers != 2:
        differ[name] = [missing, sorted(linears), whole, shape.parameters]
print(json.dumps(differ))
"""


def test_the_shape_is_that_of_the_model_that_transformers_builds(inside, tmp_path):
    """Every linear layer with its sizes and bias, and the number of parameters, of 25 models of 24 families."""
    differ = inside(tmp_path, f"FAMILIES = {FAMILIES!r}\n{BUILT}")

    assert {} == differ


def test_chatglm_has_the_parameters_that_its_papers_and_readers_count():
    """ChatGLM's own code comes with the weights, so its published counts are held against the config of each."""
    one = {"model_type": "chatglm", "hidden_size": 4096, "inner_hidden_size": 16384, "num_layers": 28}
    one.update(num_attention_heads=32, vocab_size=130528)
    three = {"model_type": "chatglm", "hidden_size": 4096, "ffn_hidden_size": 13696, "num_layers": 28}
    three.update(num_attention_heads=32, padded_vocab_size=65024, multi_query_attention=True, kv_channels=128)
    three.update(multi_query_group_num=2, add_qkv_bias=True, tie_word_embeddings=False)

    # `all params: 6176956416` of ChatGLM-Tuning less its 3,670,016 of LoRA; ChatGLM3-6B: 6.24 billion
    assert 6_173_286_400 == shape_of(one).parameters
    assert 6_243_584_000 == shape_of(three).parameters


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "qwen9"}, "kind `qwen9`"),
        ({"model_type": "llama", "hidden_size": 64}, "no `num_hidden_layers`"),
        ({}, "kind `None`"),
    ],
)
def test_what_is_not_known_is_told(config, said):
    """A family that is not in the table, and a config.json without a size, each in one sentence."""
    with pytest.raises(ModelError) as told:
        shape_of(config)

    assert said in told.value.message


def test_a_file_that_is_no_config_is_told(tmp_path):
    """Not there, no JSON, no object."""
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    for path in (tmp_path, tmp_path / "broken.json", tmp_path / "list.json"):
        with pytest.raises(ModelError) as told:
            read_shape(Path(path))

        assert str(path) in told.value.message
