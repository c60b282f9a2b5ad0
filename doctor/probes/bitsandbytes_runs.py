"""Which library did bitsandbytes load, and do its 8-bit and 4-bit layers compute, forward and backward?

Errors are relative (Frobenius norm of the difference from the dense layer, over the norm of the dense result), of
the output and of the gradient that reaches the input: without that one no LoRA layer below it trains.
"""

# mypy: disable-error-code="import-not-found"

import re
from pathlib import Path
from typing import Any, Dict, List, Optional

from _probe import at, attempt, finish, finite, one_line, require, versions

require("bitsandbytes", "torch")
at("importing torch")
import torch  # noqa: E402

at("importing bitsandbytes")
import bitsandbytes  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WIDTH = 256  # a multiple of the block size 64 of nf4 and of what the int8 kernels want


def loaded_libraries() -> List[str]:
    """The libbitsandbytes files in this process, by /proc: every release keeps its handle somewhere else."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    return sorted(set(re.findall(r"libbitsandbytes_\w+\.so", maps)))


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> Optional[float]:
    got, expected = got.detach().float(), expected.detach().float()
    error: Optional[float] = finite(float((got - expected).norm() / expected.norm()))
    return error


def compared(layer: torch.nn.Module, dtype: torch.dtype) -> Dict[str, Any]:
    """Run `layer` and the dense layer of the same weights forward and backward over the same input."""
    torch.manual_seed(0)
    dense = torch.nn.Linear(WIDTH, WIDTH, bias=False)
    layer.load_state_dict({"weight": dense.weight.detach().clone()})
    layer, dense = layer.to(DEVICE), dense.to(DEVICE)  # moving it is what quantises
    values = torch.randn(8, WIDTH, device=DEVICE)
    inputs = [values.clone().to(kind).requires_grad_() for kind in (dtype, torch.float32)]
    at(f"running {type(layer).__name__} forward on {DEVICE}")
    outputs = [run(x) for run, x in zip((layer, dense), inputs)]
    at(f"running {type(layer).__name__} backward on {DEVICE}")
    for output in outputs:
        output.float().square().sum().backward()
    if inputs[0].grad is None:
        raise RuntimeError("no gradient reached the input")
    return {
        "weight": str(layer.weight.dtype).replace("torch.", ""),
        "output_error": relative_error(*outputs),
        "gradient_error": relative_error(inputs[0].grad, inputs[1].grad),
    }


def linear_8bit() -> Dict[str, Any]:
    """LLM.int8(), as load_in_8bit=True makes it."""
    layer = bitsandbytes.nn.Linear8bitLt(WIDTH, WIDTH, bias=False, has_fp16_weights=False, threshold=6.0)
    return compared(layer, torch.float16 if DEVICE == "cuda" else torch.float32)


def linear_4bit() -> Dict[str, Any]:
    """nf4, as QLoRA uses it."""
    dtype = torch.float16 if DEVICE == "cuda" else torch.float32
    return compared(
        bitsandbytes.nn.Linear4bit(WIDTH, WIDTH, bias=False, compute_dtype=dtype, quant_type="nf4"), dtype
    )


def libraries() -> List[str]:
    try:
        return loaded_libraries()
    except OSError as error:
        return [one_line(error)]


CASES = (linear_8bit, linear_4bit)
finish(
    {
        "versions": versions("torch", "bitsandbytes"),
        "torch_cuda": torch.version.cuda,
        "device": DEVICE,
        "gpu": torch.cuda.get_device_name(0) if DEVICE == "cuda" else "",
        "cases": {case.__name__: attempt(case) for case in CASES},
        "libraries": libraries(),
    }
)
