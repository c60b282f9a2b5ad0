"""The weight of a frozen linear layer, as a 16-bit or fp32 matrix each time that it is used.

A 4-bit weight is unpacked once for the forward and once for the backward pass, for all that a group does with it: the
whole base in bf16 would be three times what the 4 bits save.
"""

from typing import Any, Optional

import torch


def is_plain(layer: Any) -> bool:
    """True for a linear layer whose weight is a matrix of numbers, or 4 bits that bitsandbytes unpacks."""
    if _is_4bit(layer):
        return getattr(layer.weight, "quant_state", None) is not None  # it has none before it is on the GPU
    return type(layer) is torch.nn.Linear and layer.weight.is_floating_point()


def weight_of(layer: Any, dtype: torch.dtype) -> torch.Tensor:
    """(out features, in features) in `dtype`."""
    if _is_4bit(layer):
        from bitsandbytes.functional import dequantize_4bit

        return dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)
    return layer.weight.to(dtype)


def bias_of(layer: Any, dtype: torch.dtype) -> Optional[torch.Tensor]:
    """(out features) in `dtype`, where the layer has one."""
    return None if layer.bias is None else layer.bias.to(dtype)


def _is_4bit(layer: Any) -> bool:
    return type(layer).__name__ == "Linear4bit"
