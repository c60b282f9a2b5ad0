"""Does torch import, multiply correctly on the CPU and on every GPU, and hand arrays to numpy?

Errors of a product are relative: the largest difference from the same product in float64 on the CPU, divided by
the largest value of that; None where it is not finite.
"""

# mypy: disable-error-code="import-not-found"

from typing import Any, Dict

from _probe import at, attempt, finish, finite, one_line, require, versions

require("torch")
at("importing torch")
import torch  # noqa: E402

SIZE = 128


def product(device: str, dtype: torch.dtype) -> Dict[str, Any]:
    """The relative error of one SIZE x SIZE product on that device."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64) for _ in range(2))
    # rounding the factors first leaves only the errors of the multiplication itself
    left, right = left.to(dtype), right.to(dtype)
    expected = left.double() @ right.double()
    got = (left.to(device) @ right.to(device)).cpu().double()
    return {"relative_error": finite(float((got - expected).abs().max() / expected.abs().max()))}


def products(device: str) -> Dict[str, Any]:
    """The products that training uses, by the name of their type."""
    return {
        str(dtype).replace("torch.", ""): attempt(product, device, dtype)
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
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
        "products": products(f"cuda:{index}"),
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
    "cpu": products("cpu"),
    "numpy_bridge": attempt(numpy_bridge),
    "gpus": [
        describe(index) for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ],
}
finish(result)
