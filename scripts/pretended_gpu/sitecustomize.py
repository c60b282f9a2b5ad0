"""LLM.int8() of a bitsandbytes that computes on CUDA alone, run where there is no GPU: only the GPU is faked.

A Python that has this folder on its path gets it (`scripts/prove-int8-legacy`); envdoc's own code is not touched.

bitsandbytes 0.45: its three CUDA kernels of the 8-bit path are computed by numpy on the CPU's memory, as
csrc/kernels.cu has them, through the very pointers that bitsandbytes hands to its C library; a tensor of the CPU
counts as one of the GPU, and a weight that is put onto the CPU is quantised as one that is put onto a GPU. It says of
itself that it has other backends than CUDA, which is how transformers 4.46 and accelerate 1.0 ask whether a CPU will
do; transformers 4.33 is told that it is there. Its autograd function, its decomposition into outliers and the rest, its
layers and parameters are its own.

bitsandbytes 0.50 computes on the CPU by itself, but trains there with the weights alone in 8 bits
(`MatMul8bitFp`). With ENVDOC_ACTIVATIONS_TOO=1 it takes its own `MatMul8bitLt`, as it does on a GPU.
"""

import atexit
import contextlib
import ctypes
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path

OUTER = 6.200012e-05  # MM_DEQUANT_CONST, 1 / 127**2


def laid(pointer, dtype, *shape):
    """The memory at a pointer as an array of that shape."""
    import numpy

    count = int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize
    return numpy.frombuffer((ctypes.c_char * count).from_address(pointer.value), dtype=dtype).reshape(shape)


class Kernels:
    """The C functions of the 8-bit path; each takes the arguments that bitsandbytes passes to CUDA's."""

    compiled_with_cuda = True

    def __init__(self, real):
        self.real, self.products, self.apart = real, 0, 0
        atexit.register(self.tell)

    def tell(self):
        """[products in 8 bits, those of them with outlying columns], a line a process, where a file is named for it."""
        place = os.environ.get("ENVDOC_KERNEL_CALLS")
        if place and self.products:
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(f"[{self.products}, {self.apart}]\n")

    def __getattr__(self, name):
        return getattr(self.real, name)

    def cint8_vector_quant(self, matrix, out, scales, threshold, rows, cols, _stream):
        """Each row scaled by its largest value to 127 and rounded to even; what reaches the threshold becomes 0."""
        import numpy

        values = laid(matrix, numpy.float16, rows.value, cols.value).astype(numpy.float32)
        if threshold.value:
            outlying = numpy.abs(values) >= threshold.value
            values[outlying] = 0
            self.apart += bool(outlying.any())
        largest = numpy.abs(values).max(axis=1)
        laid(scales, numpy.float32, rows.value)[:] = largest
        scale = numpy.float32(127) / numpy.where(largest > 0, largest, numpy.float32(1))
        laid(out, numpy.int8, rows.value, cols.value)[:] = numpy.rint(values * scale[:, None])

    def cigemmlt_32(self, _context, m, n, k, weight, seen, out, _scale, _lda, _ldb, _ldc, _stream):
        """`out[n, k] = seen[n, m] @ weight[k, m].T` in integers, which 64-bit floats hold exactly."""
        import numpy

        self.products += 1
        weights = laid(weight, numpy.int8, k.value, m.value).astype(numpy.float64)
        inputs = laid(seen, numpy.int8, n.value, m.value).astype(numpy.float64)
        laid(out, numpy.int32, n.value, k.value)[:] = inputs @ weights.T
        return 0

    def cdequant_mm_int32_fp16(self, matrix, of_rows, of_cols, out, bias, rows, cols, _stream):
        """The integers times both scales over 127 squared, plus the bias, as fp16."""
        import numpy

        sums = laid(matrix, numpy.int32, rows.value, cols.value).astype(numpy.float32)
        scales = laid(of_rows, numpy.float32, rows.value)[:, None] * laid(of_cols, numpy.float32, cols.value)
        made = sums * (scales * numpy.float32(OUTER))
        if bias is not None and bias.value:
            made = made + laid(bias, numpy.float16, cols.value).astype(numpy.float32)
        laid(out, numpy.float16, rows.value, cols.value)[:] = made


class Context:
    """In the place of cuBLAS."""

    @staticmethod
    def get_instance():
        """One for all."""
        return Context()

    @staticmethod
    def get_context(_device):
        """No address: `cigemmlt_32` above reads none."""
        return ctypes.c_void_p(0)


def pretend(bitsandbytes):
    """Put the CPU in the place of the GPU that an old bitsandbytes asks for."""
    import torch

    functional, parameter = bitsandbytes.functional, bitsandbytes.nn.Int8Params
    functional.lib = Kernels(functional.lib)
    functional.CUBLAS_Context = Context
    functional.is_on_gpu = lambda tensors: True
    functional._cuda_device_of = lambda tensor: contextlib.nullcontext()
    functional._get_tensor_stream = lambda tensor: ctypes.c_void_p(0)
    bitsandbytes.features = {"multi_backend"}
    bitsandbytes.supported_torch_devices = {"cuda", "cpu"}
    said_to_be_there()
    on_one_gpu()
    to = parameter.to

    def quantised(self, *args, **named):
        device = torch._C._nn._parse_to(*args, **named)[0]
        if (
            device is None
            or device.type != "cpu"
            or self.data.device.type != "cpu"
            or self.data.dtype == torch.int8
        ):
            return to(self, *args, **named)
        kept, torch.Tensor.cuda = torch.Tensor.cuda, lambda tensor, *_: tensor
        try:
            return self.cuda(device)
        finally:
            torch.Tensor.cuda = kept

    parameter.to = quantised


def said_to_be_there():
    """transformers is told that bitsandbytes can be used, where it would ask torch for a GPU first."""
    import transformers.integrations.bitsandbytes as integration

    for module in [module for name, module in sys.modules.items() if name.startswith("transformers")]:
        if "is_bitsandbytes_available" in vars(module):  # 4.33 asks torch there
            module.is_bitsandbytes_available = lambda: True
    if not hasattr(integration, "bnb"):  # it was imported before, when the answer was no
        importlib.reload(integration)
    # 4.46 asks for Intel's extension there, where the only device is a CPU; 4.33 has no such function.
    integration._validate_bnb_multi_backend_availability = lambda raise_exception: True


def on_one_gpu():
    """accelerate 0.25 is not shown that the 8-bit base lies on the CPU; later ones ask bitsandbytes whether it may."""
    import accelerate.accelerator

    if hasattr(accelerate.accelerator, "is_bitsandbytes_multi_backend_available"):
        return
    prepare = accelerate.Accelerator.prepare_model

    def prepared(self, model, *args, **named):
        (base,) = [module for module in model.modules() if "hf_device_map" in vars(module)] or [model]
        kept = vars(base).pop("hf_device_map", None)
        try:
            return prepare(self, model, *args, **named)
        finally:
            base.hf_device_map = kept

    accelerate.Accelerator.prepare_model = prepared


def activations_too(bitsandbytes):
    """Training multiplies as on a GPU: the inputs in 8 bits as well, outliers apart."""
    from bitsandbytes.autograd import _functions as own

    def matmul(seen, weight, out=None, state=None, threshold=0.0, bias=None):
        state = state or own.MatmulLtState()
        if threshold > 0.0:
            state.threshold = threshold
        return own.MatMul8bitLt.apply(seen, weight, out, bias, state)

    bitsandbytes.matmul = matmul


class AfterImport(importlib.abc.MetaPathFinder):
    """Changes bitsandbytes once it is imported."""

    def find_spec(self, name, path, target=None):
        """A spec whose loader runs the package and then one of the two above."""
        if name != "bitsandbytes":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None:
            return None
        run = spec.loader.exec_module

        def changed(module):
            run(module)
            if hasattr(module.functional, "is_on_gpu") and not hasattr(module, "_ops"):  # 0.45 and older
                pretend(module)
            elif os.environ.get("ENVDOC_ACTIVATIONS_TOO"):
                activations_too(module)

        spec.loader.exec_module = changed
        return spec


sys.meta_path.insert(0, AfterImport())
