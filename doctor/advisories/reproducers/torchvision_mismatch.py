"""torchvision is imported beside this torch, and its operator that every detector uses is asked for."""

import torch
from _verdict import raises


def operator() -> str:
    """The name of the operator, registered by torchvision's compiled part."""
    import torchvision

    return f"{torch.ops.torchvision.nms} of torchvision {torchvision.__version__}"


raises(
    operator,
    r"operator torchvision::nms does not exist|no attribute 'nms'|undefined symbol|has no attribute 'register_fake'",
)
