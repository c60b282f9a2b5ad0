"""triton compiles a kernel for a GPU of capability 12.0 with the ptxas that its wheel brings."""

from _triton_kernel import compile_for
from _verdict import raises

raises(lambda: compile_for(120), r"(?s)ptxas.*Value 'sm_120a?' is not defined for option 'gpu-name'")
