"""What rounding to 8 bits does to one matrix product, with and without outliers among the activations.

usage: int8.py OUT.json       in an environment with torch and bitsandbytes; on a GPU where there is one
"""

import json
import sys
from pathlib import Path
from typing import Callable, Dict

import bitsandbytes
import torch

ROWS, INPUTS, OUTPUTS = 64, 1024, 1024
OUTLIER_FEATURES = (
    6  # of 1,024: about 0.6%, what the LLM.int8() paper found in a 6.7B model (arXiv 2208.07339)
)
SIZES = (1, 2, 4, 8, 16, 32, 64)  # times the standard deviation of the others
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
THRESHOLD = 6.0  # the paper's and bitsandbytes' own


def absmax(values: torch.Tensor) -> torch.Tensor:
    """Each value at the nearest of 255 even steps from -max to max, as one scale for the whole tensor."""
    scale = values.abs().max() / 127
    return (values / scale).round().clamp(-127, 127) * scale


def zero_point(values: torch.Tensor) -> torch.Tensor:
    """Each value at the nearest of 256 even steps from min to max: no step is lost where the tensor leans."""
    low, high = values.min(), values.max()
    scale = (high - low) / 255
    return ((values - low) / scale).round().clamp(0, 255) * scale + low


def by_rows(values: torch.Tensor) -> torch.Tensor:
    """Absolute maximum with a scale for each row."""
    scale = values.abs().amax(dim=1, keepdim=True) / 127
    return (values / scale).round().clamp(-127, 127) * scale


def llm_int8(inputs: torch.Tensor, weight: torch.Tensor, threshold: float) -> torch.Tensor:
    """bitsandbytes' own layer: rows and columns scaled apart, features above `threshold` multiplied in 16 bits."""
    layer = bitsandbytes.nn.Linear8bitLt(
        weight.shape[1], weight.shape[0], bias=False, has_fp16_weights=False, threshold=threshold
    )
    layer.weight = bitsandbytes.nn.Int8Params(weight.clone(), requires_grad=False, has_fp16_weights=False)
    layer = layer.to(DEVICE)
    with torch.no_grad():
        return layer(inputs.to(DEVICE, torch.float16)).float().cpu()


def error(found: torch.Tensor, exact: torch.Tensor, ordinary: torch.Tensor) -> float:
    """The root mean square of what is off, as a share of what the ordinary features give: they are swallowed first."""
    return float((found - exact).norm() / ordinary.norm())


def main(out: Path) -> None:
    """Measure every way at every size of outlier."""
    torch.manual_seed(0)
    weight = torch.randn(OUTPUTS, INPUTS) / INPUTS**0.5
    plain = torch.randn(ROWS, INPUTS)
    features = torch.randperm(INPUTS)[:OUTLIER_FEATURES]
    ways: Dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "absolute maximum": lambda seen: absmax(seen) @ absmax(weight).T,
        "zero point": lambda seen: zero_point(seen) @ zero_point(weight).T,
        "absolute maximum by rows": lambda seen: by_rows(seen) @ by_rows(weight).T,
        "LLM.int8() without its 16-bit part": lambda seen: llm_int8(seen, weight, 0.0),
        "LLM.int8()": lambda seen: llm_int8(seen, weight, THRESHOLD),
    }
    measured: Dict[str, Dict[int, float]] = {name: {} for name in ways}
    for size in SIZES:
        seen = plain.clone()
        seen[:, features] *= size
        exact = (seen.double() @ weight.double().T).float()
        ordinary = seen.clone()
        ordinary[:, features] = 0
        for name, way in ways.items():
            measured[name][size] = error(way(seen), exact, ordinary @ weight.T)
    device = torch.cuda.get_device_name(0) if DEVICE == "cuda" else "CPU"
    versions = {"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__, "device": device}
    shape = {"rows": ROWS, "inputs": INPUTS, "outputs": OUTPUTS, "outlier_features": OUTLIER_FEATURES}
    out.write_text(json.dumps({"versions": versions, "shape": shape, "error": measured}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
