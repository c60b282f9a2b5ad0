"""LLM.int8() of a bitsandbytes that computes on CUDA alone, run where there is no GPU: only the GPU is faked.

A Python that has this folder on its path gets it (`scripts/prove-int8-legacy`); envdoc's own code is not touched.

bitsandbytes 0.44 and 0.45: the C functions of their 8-bit path are computed by numpy on the CPU's memory
(`pretended_kernels.py`); a tensor of the CPU counts as one of the GPU, and a weight that is put onto the CPU is
quantised as one that is put onto a GPU. It says of itself that it has other backends than CUDA, which is how
transformers 4.46 and accelerate 1.0 ask whether a CPU will do; transformers 4.33 is told that it is there. Of 0.44,
`double_quant`, `igemmlt` and `extract_outliers` are compiled once more without the lines that insist on CUDA, and the
GPU is one of compute capability 8 (its layout of weights is `col_ampere`; ENVDOC_LAYOUT=col_turing takes the other).
Its autograd function, its decomposition into outliers and the rest, its undoing of that layout for the gradient, its
layers and parameters are its own.

bitsandbytes 0.50 computes on the CPU by itself, but trains there with the weights alone in 8 bits
(`MatMul8bitFp`). With ENVDOC_ACTIVATIONS_TOO=1 it takes its own `MatMul8bitLt`, as it does on a GPU.
"""

import ast
import contextlib
import ctypes
import importlib
import importlib.abc
import importlib.machinery
import inspect
import os
import sys


class Context:
    """In the place of cuBLAS."""

    @staticmethod
    def get_instance():
        """One for all."""
        return Context()

    @staticmethod
    def get_context(_device):
        """No address: the pretended products read none."""
        return ctypes.c_void_p(0)


class OnAnyDevice(ast.NodeTransformer):
    """Leaves out `assert tensor.device.type == "cuda"` and `torch.cuda.set_device(...)`."""

    def visit_Assert(self, node):
        """None for a question of the first kind."""
        return None if "device" in ast.dump(node.test) and "'cuda'" in ast.dump(node.test) else node

    def visit_Expr(self, node):
        """None for a call of the second kind."""
        return None if "'set_device'" in ast.dump(node.value) else node


def pretend_44(bitsandbytes):
    """What 0.44 asks of a GPU beyond 0.45."""
    from bitsandbytes.autograd import _functions as own

    functional = bitsandbytes.functional
    functional.pre_call = functional.post_call = lambda device: None
    for name in ("double_quant", "igemmlt", "extract_outliers"):
        tree = OnAnyDevice().visit(ast.parse(inspect.getsource(getattr(functional, name))))
        exec(compile(tree, functional.__file__, "exec"), vars(functional))
    own.supports_igemmlt = lambda device: True
    own.MatmulLtState.formatB = os.environ.get("ENVDOC_LAYOUT", "col_ampere")


def pretend(bitsandbytes):
    """Put the CPU in the place of the GPU that an old bitsandbytes asks for."""
    import pretended_kernels
    import torch

    functional, parameter = bitsandbytes.functional, bitsandbytes.nn.Int8Params
    functional.CUBLAS_Context = Context
    functional.is_on_gpu = lambda tensors: True
    if hasattr(functional, "int8_vectorwise_quant"):  # since 0.45
        functional.lib = pretended_kernels.Kernels45(functional.lib)
        functional._cuda_device_of = lambda tensor: contextlib.nullcontext()
        functional._get_tensor_stream = lambda tensor: ctypes.c_void_p(0)
    else:
        functional.lib = pretended_kernels.Kernels44(functional.lib)
        pretend_44(bitsandbytes)
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
