"""CUDA is used, and then once more in a forked worker; repaired: the worker is spawned."""

import multiprocessing
import os

import torch


def work():
    """What a data loader's worker does when a dataset returns tensors on the GPU."""
    return float(torch.ones(2, device="cuda").sum())


if __name__ == "__main__":
    torch.zeros(1, device="cuda")
    context = multiprocessing.get_context("fork" if os.environ["FAULT"] else "spawn")
    with context.Pool(1) as pool:
        print(pool.apply(work))
