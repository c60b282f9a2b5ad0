"""Bases of random weights, drawn on the device while transformers loads them: no file of 13 or 140 GB.

Each weight comes from a seed of its own, the hash of its name, so that every recipe, and the folder that Unsloth reads,
have the same base. A quantised base goes through transformers' own loader: layer after layer is drawn, quantised and
let go, so that 70 billion parameters fit where 140 GB would not.
"""

import json
import zlib
from pathlib import Path
from typing import Any, Dict, Tuple

import torch

from bench_train.shapes import SHAPES, Shape

STD = 0.02


class Drawn:
    """One weight that exists once it is sliced, as those of an open safetensors file do."""

    def __init__(self, name: str, shape: Tuple[int, ...], device: torch.device) -> None:
        self.name, self.shape, self.device, self.dtype = name, shape, device, torch.bfloat16

    def __getitem__(self, _: Any) -> torch.Tensor:
        made = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        if len(self.shape) == 1:
            return made.fill_(1)
        generator = torch.Generator(self.device).manual_seed(zlib.crc32(self.name.encode()))
        return made.normal_(0, STD, generator=generator)


def weights(shape: Shape, device: torch.device) -> Dict[str, Drawn]:
    """Every weight of a Llama by name."""
    key_value = shape.hidden * shape.key_value_heads // shape.heads
    layer = {
        "input_layernorm": (shape.hidden,),
        "post_attention_layernorm": (shape.hidden,),
        "self_attn.q_proj": (shape.hidden, shape.hidden),
        "self_attn.k_proj": (key_value, shape.hidden),
        "self_attn.v_proj": (key_value, shape.hidden),
        "self_attn.o_proj": (shape.hidden, shape.hidden),
        "mlp.gate_proj": (shape.inner, shape.hidden),
        "mlp.up_proj": (shape.inner, shape.hidden),
        "mlp.down_proj": (shape.hidden, shape.inner),
    }
    named = {
        f"model.layers.{number}.{part}.weight": size
        for number in range(shape.layers)
        for part, size in layer.items()
    }
    named["model.embed_tokens.weight"] = named["lm_head.weight"] = (shape.vocabulary, shape.hidden)
    named["model.norm.weight"] = (shape.hidden,)
    return {name: Drawn(name, size, device) for name, size in named.items()}


def load(shape: Shape, device: torch.device, **arguments: Any) -> Any:
    """The base on its device, in the way of `from_pretrained`, whose keywords these are."""
    from transformers import LlamaForCausalLM

    place = {"": device.index or 0 if device.type == "cuda" else "cpu"}
    return LlamaForCausalLM.from_pretrained(
        None,
        config=shape.config(),
        state_dict=weights(shape, device),
        **{"device_map": place, **arguments},
    )


class Loader:
    """In place of transformers' Auto class: the folder's config.json says which shape is made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def from_pretrained(self, folder: str, **arguments: Any) -> Any:
        """The base of that folder, which has no weight file."""
        for word in ("local_files_only", "trust_remote_code"):
            arguments.pop(word, None)
        shape = SHAPES[(Path(folder) / "shape").read_text()]
        return load(shape, self.device, **arguments)


def folder_of(name: str, place: Path) -> Path:
    """A model folder without weights: config.json, a tokenizer, and the name of the shape."""
    folder = place / name
    if not (folder / "shape").exists():
        from envdoc.train.tiny import _tokenizer

        SHAPES[name].config().save_pretrained(str(folder))
        _tokenizer(["Random tokens stand for words."]).save_pretrained(str(folder))
        (folder / "shape").write_text(name)
    return folder


def write(name: str, place: Path, device: torch.device) -> Path:
    """The same folder with its weights, in bf16, for who reads nothing else; a file a layer."""
    from safetensors.torch import save_file

    folder, places, total = folder_of(name, place), {}, 0
    files: Dict[str, Dict[str, Drawn]] = {}
    for full, drawn in weights(SHAPES[name], device).items():
        part = full.split(".")
        file = f"layer-{part[2]}" if part[1] == "layers" else "ends"
        files.setdefault(f"{file}.safetensors", {})[full] = drawn
    for file, parts in files.items():
        tensors = {full: drawn[...].cpu() for full, drawn in parts.items()}
        save_file(tensors, str(folder / file), metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, file))
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "dtype": "bfloat16", "torch_dtype": "bfloat16"})
    )
    return folder
