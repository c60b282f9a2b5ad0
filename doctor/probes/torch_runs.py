"""Does torch import, multiply correctly on the CPU and on every GPU, and hand arrays to numpy?

Errors of a product are relative: the largest difference from the same product in float64 on the CPU, divided by
the largest value of that; None where it is not finite. A precision that a GPU or this torch does not have is
"skipped", with the reason.
"""

# mypy: disable-error-code="import-not-found"

import os
from typing import Any, Dict, Tuple

from _loaded import loaded_libraries
from _probe import at, attempt, finish, finite, one_line, require, versions

require("torch")
at("importing torch")
import torch  # noqa: E402

SIZE = 128


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> Dict[str, Any]:
    return {
        "relative_error": finite(float((got.cpu().double() - expected).abs().max() / expected.abs().max()))
    }


def factors() -> Any:
    """Two SIZE x SIZE matrices of float64, the same on every call."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64) for _ in range(2)]


def product(device: str, dtype: torch.dtype) -> Dict[str, Any]:
    """One product on that device."""
    # rounding the factors first leaves only the errors of the multiplication itself
    left, right = (factor.to(dtype) for factor in factors())
    return relative_error(left.to(device) @ right.to(device), left.double() @ right.double())


def product_tf32(device: str) -> Dict[str, Any]:
    """float32 factors that the tensor cores round to 11 bits, with float32 sums."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        return product(device, torch.float32)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def product_int8(device: str) -> Dict[str, Any]:
    """Whole numbers with int32 sums, which are exact. As LLM.int8() multiplies."""
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randint(-127, 128, (SIZE, SIZE), generator=generator, dtype=torch.int8) for _ in range(2)
    )
    got = torch._int_mm(left.to(device), right.to(device))
    return relative_error(got, left.double() @ right.double())


def product_float8(device: str) -> Dict[str, Any]:
    """e4m3 factors with a bfloat16 result; the second factor lies by columns, as cuBLAS wants it."""
    left, right = (factor.float().to(torch.float8_e4m3fn) for factor in factors())
    one = torch.ones((), device=device)
    columns = right.to(device).t().contiguous().t()
    got = torch._scaled_mm(left.to(device), columns, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    got = got[0] if isinstance(got, tuple) else got  # torch below 2.5 returns the largest value too
    return relative_error(got, left.double() @ right.double())


def optional(device: str, case: Any, missing: str) -> Dict[str, Any]:
    """A product through a function that torch does not promise: where it raises, the precision is not there."""
    if missing:
        return {"skipped": missing}
    seen: Dict[str, Any] = attempt(case, device)
    return {"skipped": seen["error"]} if "error" in seen else seen


def products(device: str) -> Dict[str, Any]:
    """The products that training uses, by the name of their type."""
    return {
        str(dtype).replace("torch.", ""): attempt(product, device, dtype)
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
    }


def gpu_products(device: str, capability: Tuple[int, int]) -> Dict[str, Any]:
    """The same, and those that only a GPU has; the ones most likely to be missing last."""
    found = products(device)
    found["float64"] = attempt(product, device, torch.float64)
    no_tf32 = "" if capability >= (8, 0) else "TF32 needs compute capability 8.0"
    found["tf32"] = {"skipped": no_tf32} if no_tf32 else attempt(product_tf32, device)
    no_int8 = "" if capability >= (7, 5) else "int8 tensor cores need compute capability 7.5"
    if not hasattr(torch, "_int_mm"):
        no_int8 = "this torch has no int8 product"
    found["int8"] = optional(device, product_int8, no_int8)
    no_float8 = "" if capability >= (8, 9) else "float8 needs compute capability 8.9"
    if not (hasattr(torch, "_scaled_mm") and hasattr(torch, "float8_e4m3fn")):
        no_float8 = "this torch has no float8 product"
    found["float8_e4m3fn"] = optional(device, product_float8, no_float8)
    return found


def tf32_state() -> Dict[str, Any]:
    """Whether float32 products may be computed in TF32 as torch starts here, and the variables that say so."""
    names = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
    return {
        "allowed": bool(torch.backends.cuda.matmul.allow_tf32),
        "variables": {name: os.environ[name] for name in names if name in os.environ},
    }


def cuda_problem() -> str:
    """Why torch sees no GPU, in its own words, or ""."""
    at("initialising CUDA")
    if torch.cuda.is_available() or torch.version.cuda is None:
        return ""
    try:
        torch.cuda.init()
    except Exception as error:
        return str(one_line(error))
    return ""


def describe(index: int) -> Dict[str, Any]:
    """One visible GPU: its name, capability and products."""
    at(f"multiplying on GPU {index}")
    properties = torch.cuda.get_device_properties(index)
    return {
        "index": index,
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "products": gpu_products(f"cuda:{index}", (properties.major, properties.minor)),
    }


def numpy_bridge() -> Dict[str, Any]:
    """torch.ones(1).numpy(): "RuntimeError: Numpy is not available" where torch was built for numpy 1."""
    return {"sum": float(torch.ones(1).numpy().sum())}


result = {
    "versions": versions("torch", "numpy"),
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "hip": getattr(torch.version, "hip", None),
    # torch.cuda.get_arch_list() is empty without a GPU; this is what it reads
    "architectures": (getattr(torch._C, "_cuda_getArchFlags", lambda: None)() or "").split(),
    "cuda_error": cuda_problem(),
    "cuda_available": torch.cuda.is_available(),
    "tf32": tf32_state(),
    "cpu": products("cpu"),
    "numpy_bridge": attempt(numpy_bridge),
    "gpus": [
        describe(index) for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ],
}
finish({**result, **loaded_libraries(torch.__file__)})
