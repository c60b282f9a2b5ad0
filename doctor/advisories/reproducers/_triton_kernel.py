"""A kernel of triton, and its compilation for a GPU that need not be there."""

import inspect

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def double(x, n, BLOCK: tl.constexpr):
    """Twice each of n numbers."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + at, tl.load(x + at, mask=at < n) * 2.0, mask=at < n)


def compile_for(capability: int) -> str:
    """Through LLVM and ptxas, as on a GPU of that capability (90 for 9.0)."""
    if "constants" in inspect.signature(ASTSource.__init__).parameters:
        named = triton.__version__ >= "3.2"
        at = ("x", "n", "BLOCK") if named else (0, 1, 2)
        source = ASTSource(double, signature={at[0]: "*fp32", at[1]: "i32"}, constants={at[2]: 64})
    else:
        types = {"x": "*fp32", "n": "i32", "BLOCK": "constexpr"}
        source = ASTSource(double, signature=types, constexprs={"BLOCK": 64})
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    return f"{len(compiled.asm['cubin'])} bytes for capability {capability}"
