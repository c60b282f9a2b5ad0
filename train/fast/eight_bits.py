"""What bitsandbytes' 8-bit products keep of their input, though a frozen weight needs none of it, is let go.

`MatMul8bitLt` keeps its input in 16 bits, and once more each column that holds an outlier, for a gradient of the weight
that nobody asks for; with LoRA on q and v alone that is the input of every other layer, by the shapes 30 KB a token and
layer of a 7B. It lies on the function's context, where autograd does not see it (bitsandbytes 0.44.1, 0.45.5, 0.50.2).
"""

from typing import Any

PRODUCT = "MatMul8bitLtBackward"


def forget_inputs(base: Any) -> int:
    """See to it in each frozen 8-bit layer of `base`; how many there are."""
    layers = [module for module in base.modules() if type(module).__name__ == "Linear8bitLt"]
    frozen = [layer for layer in layers if not layer.weight.requires_grad]
    for layer in frozen:
        layer.register_forward_hook(_forget)
    return len(frozen)


def _forget(layer: Any, given: Any, output: Any) -> None:
    node = getattr(output, "grad_fn", None)
    if type(node).__name__ == PRODUCT and getattr(node, "tensors", None):
        node.tensors = (None,) * len(node.tensors)
