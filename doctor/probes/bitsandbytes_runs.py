"""Which library did bitsandbytes load, and do its 8-bit and 4-bit layers compute, forward and backward?

Errors are relative (Frobenius norm of the difference over the norm of what is expected), of the output and of the
gradient that reaches the input: without that one no LoRA layer below it trains. `output_error` and `gradient_error`
are against the dense layer of the same weights, and so hold what quantising costs. `output_to_own` and
`gradient_to_own` are against products in float64 with the layer's own weights, dequantised: only rounding is in
those, and a kernel that computes something else shows. `row_to_own` is the kernel for a single row, as in
generation.
"""

# mypy: disable-error-code="import-not-found"

import inspect
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
torch.set_num_threads(
    1
)  # several wait longer for each other than such layers compute: 0.07 s instead of 0.8 to 1.2
WIDTH = 256  # a multiple of the block size 64 of nf4 and of what the int8 kernels want


def loaded_libraries() -> List[str]:
    """The libbitsandbytes files in this process, by /proc: every release keeps its handle somewhere else."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    return sorted(set(re.findall(r"libbitsandbytes_\w+\.so", maps)))


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> Optional[float]:
    got, expected = got.detach().cpu().double(), expected.detach()
    error: Optional[float] = finite(float((got - expected).norm() / expected.norm()))
    return error


def own_weights(layer: torch.nn.Module) -> torch.Tensor:
    """The layer's weights as it quantised them, in float64 on the CPU; to be asked before it runs the first time."""
    weight = layer.weight
    if isinstance(layer, bitsandbytes.nn.Linear8bitLt):
        codes = weight.CB if getattr(weight, "CB", None) is not None else weight.data
        return codes.cpu().double() * weight.SCB.cpu().double().reshape(-1, 1) / 127
    return bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state).cpu().double()


def to_own(layer: torch.nn.Module, output: torch.Tensor, values: torch.Tensor, own: torch.Tensor) -> Any:
    """The error of the output against the layer's own weights.

    LLM.int8() rounds each row of its input to 8 bits too, except in training on a CPU: the nearer one counts.
    """
    exact = values.detach().cpu().double()
    inputs = [exact]
    if isinstance(layer, bitsandbytes.nn.Linear8bitLt):
        largest = exact.abs().amax(dim=1, keepdim=True)
        inputs.append((exact * 127 / largest).round() * largest / 127)
    errors = [relative_error(output, rows @ own.t()) for rows in inputs]
    return None if None in errors else min(error for error in errors if error is not None)


def compared(layer: torch.nn.Module, dtype: torch.dtype) -> Dict[str, Any]:
    """Run `layer` forward and backward, beside the dense layer of the same weights and beside its own weights."""
    torch.manual_seed(0)
    dense = torch.nn.Linear(WIDTH, WIDTH, bias=False)
    with torch.no_grad():
        layer.weight.data = dense.weight.detach().clone()
    layer = layer.to(DEVICE)  # moving it is what quantises
    own, own_error = None, ""
    try:
        own = own_weights(layer)
    except Exception as error:  # not quantised: the layer's own error, further down, says more
        own_error = one_line(error)
    values = torch.randn(8, WIDTH).to(dtype)
    towards = torch.randn(8, WIDTH).to(dtype)  # the gradient that comes from above
    x = values.to(DEVICE).requires_grad_()
    at(f"running {type(layer).__name__} forward on {DEVICE}")
    output = layer(x)
    at(f"running {type(layer).__name__} backward on {DEVICE}")
    output.backward(towards.to(device=DEVICE, dtype=output.dtype))
    if x.grad is None:
        raise RuntimeError("no gradient reached the input")
    weight, exact, back = dense.weight.detach().double(), values.double(), towards.double()
    seen = {
        "weight": str(layer.weight.dtype).replace("torch.", ""),
        "dtype": str(dtype).replace("torch.", ""),
        "output_error": relative_error(output, exact @ weight.t()),
        "gradient_error": relative_error(x.grad, back @ weight),
    }
    if own is None:
        return {**seen, "own_error": own_error}
    seen["output_to_own"] = to_own(layer, output, values, own)
    seen["gradient_to_own"] = relative_error(x.grad, back @ own)
    at(f"running {type(layer).__name__} for one row on {DEVICE}")
    with torch.no_grad():
        row = layer.eval()(values[:1].to(DEVICE))
    seen["row_to_own"] = to_own(layer, row, values[:1], own)
    return seen


def half() -> torch.dtype:
    return torch.float16 if DEVICE == "cuda" else torch.float32


def linear_8bit() -> Dict[str, Any]:
    """LLM.int8(), as load_in_8bit=True makes it."""
    layer = bitsandbytes.nn.Linear8bitLt(WIDTH, WIDTH, bias=False, has_fp16_weights=False, threshold=6.0)
    return compared(layer, half())


def linear_4bit() -> Dict[str, Any]:
    """nf4, as QLoRA uses it."""
    layer = bitsandbytes.nn.Linear4bit(WIDTH, WIDTH, bias=False, compute_dtype=half(), quant_type="nf4")
    return compared(layer, half())


def variant(kind: str, dtype: torch.dtype, double: bool, block: Optional[int] = None) -> Dict[str, Any]:
    """A 4-bit layer of another kind: nf4 or fp4, one level of scales or two, blocks of another size."""
    if DEVICE == "cuda" and dtype is torch.bfloat16 and torch.cuda.get_device_capability() < (8, 0):
        return {"skipped": "this GPU has no bfloat16 units"}
    layer = bitsandbytes.nn.Linear4bit(
        WIDTH, WIDTH, bias=False, compute_dtype=dtype, compress_statistics=double, quant_type=kind
    )
    if block is not None:
        if "blocksize" not in inspect.signature(bitsandbytes.nn.Params4bit.__new__).parameters:
            return {"skipped": "this release has one block size"}
        layer.weight = bitsandbytes.nn.Params4bit(
            layer.weight.data,
            requires_grad=False,
            blocksize=block,
            compress_statistics=double,
            quant_type=kind,
        )
    return compared(layer, dtype)


def paged_adamw_8bit() -> Dict[str, Any]:
    """Five steps of QLoRA's optimiser beside torch's AdamW: by how much the two paths agree (their cosine)."""
    if not hasattr(bitsandbytes.optim, "PagedAdamW8bit"):
        return {"skipped": "this release has no paged optimiser"}
    torch.manual_seed(0)
    start = torch.randn(128, 128)  # 4096 values and more are quantised
    gradients = [torch.randn(128, 128) for _ in range(5)]
    moved = []
    for make in (bitsandbytes.optim.PagedAdamW8bit, torch.optim.AdamW):
        parameter = torch.nn.Parameter(start.clone().to(DEVICE))
        optimizer = make([parameter], lr=1e-2, weight_decay=0.0)
        for gradient in gradients:
            parameter.grad = gradient.to(DEVICE)
            optimizer.step()
        moved.append((parameter.detach().cpu() - start).double().flatten())
    cosine = torch.nn.functional.cosine_similarity(moved[0], moved[1], dim=0)
    return {"cosine": finite(float(cosine)), "length_ratio": finite(float(moved[0].norm() / moved[1].norm()))}


def libraries() -> List[str]:
    try:
        return loaded_libraries()
    except OSError as error:
        return [one_line(error)]


CASES = (linear_8bit, linear_4bit)
VARIANTS = {
    "nf4 bfloat16 double": ("nf4", torch.bfloat16, True),
    "nf4 float16 blocks of 128": ("nf4", torch.float16, False, 128),
    "fp4 bfloat16": ("fp4", torch.bfloat16, False),
    "fp4 float16 double": ("fp4", torch.float16, True),
}
finish(
    {
        "versions": versions("torch", "bitsandbytes"),
        "torch_cuda": torch.version.cuda,
        "device": DEVICE,
        "gpu": torch.cuda.get_device_name(0) if DEVICE == "cuda" else "",
        "cases": {case.__name__: attempt(case) for case in CASES},
        "variants": {name: attempt(variant, *options) for name, options in VARIANTS.items()},
        "optimizer": attempt(paged_adamw_8bit),
        "libraries": libraries(),
    }
)
