"""Write the small model of mini_glm.py, with random weights, into a folder: make.py FOLDER [--hidden N] [--layers N].

The same bytes on every version of torch and numpy's generator, so that two stacks can be given one base. With
`--hidden 4096 --layers 28 --heads 32` it has ChatGLM-6B's own shape, and 11 GB.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

HERE = Path(globals().get("__file__", "")).parent


def shapes(hidden, layers, vocabulary):
    """Name and shape of every weight, as mini_glm.py names them."""
    yield "transformer.word_embeddings.weight", (vocabulary, hidden)
    for layer in range(layers):
        start = f"transformer.layers.{layer}"
        for norm in ("before", "after"):
            yield f"{start}.{norm}.weight", (hidden,)
            yield f"{start}.{norm}.bias", (hidden,)
        for name, out, into in (
            ("query_key_value", 3 * hidden, hidden),
            ("dense", hidden, hidden),
            ("dense_h_to_4h", 4 * hidden, hidden),
            ("dense_4h_to_h", hidden, 4 * hidden),
        ):
            yield f"{start}.{name}.weight", (out, into)
            yield f"{start}.{name}.bias", (out,)
    yield "transformer.final_layernorm.weight", (hidden,)
    yield "transformer.final_layernorm.bias", (hidden,)


def value(name, shape, draw):
    """One weight: norms are the identity, biases nought, the rest random with the spread of a trained layer."""
    if "norm" in name or ".before." in name or ".after." in name:
        return torch.full(shape, 1.0 if name.endswith("weight") else 0.0, dtype=torch.float16)
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.float16)
    spread = 0.8 / shape[-1] ** 0.5
    return torch.from_numpy((draw.standard_normal(shape, dtype=numpy.float32) * spread).astype(numpy.float16))


def main():
    """Write config, tokenizer description, code and weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "mini_glm",
        "architectures": ["MiniForConditionalGeneration"],
        "hidden_size": given.hidden,
        "num_layers": given.layers,
        "num_attention_heads": given.heads,
        "vocab_size": 512,
        "torch_dtype": "float16",
        "auto_map": {
            "AutoConfig": "mini_glm.MiniConfig",
            "AutoModel": "mini_glm.MiniForConditionalGeneration",
        },
    }
    tokenizer = {
        "tokenizer_class": "MiniTokenizer",
        "auto_map": {"AutoTokenizer": ["mini_glm.MiniTokenizer", None]},
    }
    (given.folder / "config.json").write_text(json.dumps(config, indent=1))
    (given.folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=1))
    shutil.copy(str(HERE / "mini_glm.py"), str(given.folder))
    draw = numpy.random.default_rng(3)
    tensors = {name: value(name, shape, draw) for name, shape in shapes(given.hidden, given.layers, 512)}
    tensors["lm_head.weight"] = tensors["transformer.word_embeddings.weight"].clone()  # tied, as ChatGLM-6B's
    save_file(tensors, str(given.folder / "model.safetensors"), {"format": "pt"})


if __name__ in ("__main__", "inside"):
    main()
