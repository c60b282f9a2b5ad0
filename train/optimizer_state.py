"""An optimizer's state without pickle: tensors for a safetensors file, and the rest, which JSON can hold."""

from typing import Any, Dict, Iterator, Mapping, Tuple

import torch


def split(state: Dict[str, Any]) -> Tuple[Dict[str, torch.Tensor], Dict[str, Any]]:
    """An optimizer's state as tensors ("0.exp_avg") and the rest, which JSON can hold.

    bitsandbytes keeps its 8-bit tensors one level deeper: "0.__bnb_optimizer_quant_state__.state1".
    """
    tensors: Dict[str, torch.Tensor] = {}
    rest: Dict[str, Dict[str, Any]] = {}
    for index, entry in state["state"].items():
        for name, value in _flat_state(entry):
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous().clone()
            else:
                rest.setdefault(str(index), {})[name] = value
    return tensors, {"rest": rest, "param_groups": state["param_groups"]}


def _flat_state(entry: Mapping[str, Any]) -> Iterator[Tuple[str, Any]]:
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", content) for inner, content in value.items())
        else:
            yield name, value


def joined(tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> Dict[str, Any]:
    """What `split` took apart."""
    state: Dict[int, Dict[str, Any]] = {}
    flat = [
        (int(index), name, value) for index, entry in values["rest"].items() for name, value in entry.items()
    ]
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        flat.append((int(index), name, tensor))
    for place, name, value in flat:
        entry = state.setdefault(place, {})
        outer, _, inner = name.partition(".")
        if inner:
            entry.setdefault(outer, {})[inner] = value
        else:
            entry[outer] = value
    return {"state": state, "param_groups": values["param_groups"]}
