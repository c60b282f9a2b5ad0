"""Adapters made by hand for the tests: safetensors written here with `struct` and `json` alone, byte by byte."""

import json
import struct

LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj")
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/base",
    "r": 2,
    "lora_alpha": 4,
    "lora_dropout": 0.0,
    "bias": "none",
    "fan_in_fan_out": False,
    "target_modules": ["q_proj"],
    "modules_to_save": None,
}
PACK = {"F32": "f", "F16": "e", "F64": "d", "I64": "q"}


def numbers(values, dtype="F32"):
    """The bytes of numbers; BF16 is the upper half of F32."""
    if dtype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{len(values)}{PACK[dtype]}", *values)


def tensor(shape, start=0.5, dtype="F32", values=None):
    """(dtype, shape, bytes) of a tensor that is `start`, and a step more at each place."""
    count = 1
    for size in shape:
        count *= size
    values = [start + 0.25 * place for place in range(count)] if values is None else values
    return dtype, list(shape), numbers(values, dtype)


def zeros(shape, dtype="F32", value=0.0):
    """(dtype, shape, bytes) of a tensor of one number."""
    return tensor(shape, dtype=dtype, values=[value] * (shape[0] * shape[1]))


def write(path, tensors, metadata=None, tail=b"", header=None):
    """A safetensors file. `header` replaces the descriptions of tensors by name."""
    told, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, blob) in tensors.items():
        told[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(blob)]}
        data += blob
    for name, changes in (header or {}).items():
        told[name] = {**told.get(name, {}), **changes}
    text = json.dumps(told).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data + tail)


def lora(prefix="base_model.model.", adapter="", b=None, r=2, **more):
    """The tensors of a LoRA of rank 2 on two layers of width 4."""
    found = {}
    for layer in LAYERS:
        found[f"{prefix}{layer}.lora_A{adapter}.weight"] = tensor((r, 4))
        found[f"{prefix}{layer}.lora_B{adapter}.weight"] = tensor((4, r)) if b is None else b
    return {**found, **more}


def folder(path, tensors=None, config=None, name="adapter_model.safetensors", **options):
    """An adapter's folder with that file and config; `tensors` of None is a good one, `config` of False none."""
    path.mkdir(parents=True)
    write(path / name, lora() if tensors is None else tensors, **options)
    if config is not False:
        (path / "adapter_config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
    return path
