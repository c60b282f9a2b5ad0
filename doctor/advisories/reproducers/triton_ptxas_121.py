"""triton compiles a kernel for a GPU of capability 12.1 with the ptxas that its wheel brings."""

from _triton_kernel import compile_for
from _verdict import raises

raises(lambda: compile_for(121), r"(?s)ptxas.*Value 'sm_121a?' is not defined for option 'gpu-name'")
