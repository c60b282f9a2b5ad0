"""A state dict with tied tensors given to safetensors; without the second name it is saved."""

from _verdict import raises


def save():
    import torch
    from safetensors.torch import save_file

    weight = torch.ones(2, 2)
    save_file({"embed.weight": weight}, "one.safetensors")
    save_file({"embed.weight": weight, "head.weight": weight}, "two.safetensors")


raises(save, "Some tensors share memory")
