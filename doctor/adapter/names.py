"""The names of an adapter's tensors taken apart, and the faults that a name can have."""

import re
from typing import Dict, Iterable, NamedTuple, Optional, Tuple

PREFIX = "base_model.model."
# What peft calls the parts of LoRA: .lora_A.weight, .lora_embedding_A, .lora_magnitude_vector; MLX .lora_a.
_PART = re.compile(
    r"^(?P<module>.*?)\.?(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector|lora_[ab])"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.(?P<leaf>weight|bias))?$"
)
_SAVED = re.compile(r"^(?P<module>.*)\.modules_to_save\.(?P<adapter>[^.]+)\.(?P<leaf>.*)$")


class Name(NamedTuple):
    """`module` is the layer without the prefix of peft; `part` "A", "B", "magnitude" or "" for a whole tensor."""

    module: str
    part: str
    adapter: str = ""  # the name of the adapter, which no file should hold: "default"
    leaf: str = ""
    has_prefix: bool = True
    compiled: bool = False  # torch.compile's `_orig_mod.` is in it
    kind: str = ""  # "peft", "embedding" or "mlx"


def parse(name: str) -> Name:
    """The name of a tensor, taken apart."""
    compiled = "_orig_mod." in name
    plain = name.replace("_orig_mod.", "")
    has_prefix = plain.startswith(PREFIX)
    plain = plain[len(PREFIX) :] if has_prefix else plain
    match = _PART.match(plain)
    if match:
        part = match.group("part")
        kind = "mlx" if part in ("lora_a", "lora_b") else "embedding" if "embedding" in part else "peft"
        letter = "magnitude" if part.endswith("vector") else part[-1].upper()
        adapter = match.group("adapter") or ""
        return Name(
            match.group("module"), letter, adapter, match.group("leaf") or "", has_prefix, compiled, kind
        )
    saved = _SAVED.match(plain)
    if saved:
        return Name(
            saved.group("module"), "", saved.group("adapter"), saved.group("leaf"), has_prefix, compiled
        )
    module, _, leaf = plain.rpartition(".")
    return Name(module, "", "", leaf, has_prefix, compiled)


def clean(name: str) -> str:
    """The name under which peft's own save_pretrained would have written it; MLX's names stay as they are."""
    told = parse(name)
    if told.kind == "mlx":
        return name
    plain = name.replace("_orig_mod.", "")
    if told.adapter:
        plain = plain.replace(f".modules_to_save.{told.adapter}.", ".") if not told.part else plain
        plain = _without_adapter(plain, told.adapter) if told.part else plain
    if told.part == "magnitude" and plain.endswith(".weight"):  # DoRA's vector is saved without it
        plain = plain[: -len(".weight")]
    return (
        plain if plain.startswith(PREFIX) or not told.part else PREFIX + plain.replace("base_model.", "", 1)
    )


def _without_adapter(name: str, adapter: str) -> str:
    head, _, tail = name.rpartition("lora_")
    return head + "lora_" + (tail + ".").replace(f".{adapter}.", ".", 1)[:-1]


def pairs(names: Iterable[str]) -> Dict[Tuple[str, str], Dict[str, str]]:
    """(module, kind) -> {"A": name, "B": name, ...} of each LoRA layer."""
    found: Dict[Tuple[str, str], Dict[str, str]] = {}
    for name in names:
        told = parse(name)
        if told.part:
            kind = "peft" if told.part == "magnitude" else told.kind
            if told.leaf != "bias":
                found.setdefault((told.module, kind), {})[told.part] = name
    return {key: parts for key, parts in found.items() if "A" in parts or "B" in parts}


def layer(module: str) -> Optional[int]:
    """The number of the layer in a module's name: 3 of `model.layers.3.self_attn.q_proj`."""
    match = re.search(r"\.(?:layers|h|blocks|layer)\.(\d+)\.", f".{module}.")
    return int(match.group(1)) if match else None
