"""The cross entropy of a chunk of logits and its gradient, written over them, in two passes over memory on a GPU.

In torch the same takes a float32 copy and six passes over it. Loss and probabilities are computed in fp32 from the
logits as they are, and the gradient is rounded once, to the dtype in which it is multiplied with the head.
"""

import torch

from envdoc.train.fast import kernels
from envdoc.train.fast.kernels import triton

if triton is not None:
    import triton.language as tl

BLOCK = 8192  # logits at a time


def replace_by_gradient(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """The loss of each row, (n,) in fp32; `logits` (n, vocabulary) become d loss / d logits. answers: (n,) of int64.

    Only where `kernels.usable(logits)` holds.
    """
    losses = logits.new_empty(len(answers), dtype=torch.float32)
    block = min(BLOCK, triton.next_power_of_2(logits.shape[1]))
    if len(answers):
        with kernels.on_device_of(logits):
            _replace[(len(answers),)](
                logits, answers, losses, logits.shape[1], logits.stride(0), BLOCK=block, num_warps=16
            )
    return losses


if triton is not None:

    @triton.jit
    def _replace(logits, answers, losses, words, stride, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        row = tl.program_id(0).to(tl.int64)
        start = logits + row * stride
        answer = tl.load(answers + row)
        of_answer = tl.load(start + answer).to(tl.float32)
        highest = -float("inf")
        total = 0.0
        for first in range(0, words, BLOCK):
            at = first + tl.arange(0, BLOCK)
            part = tl.load(start + at, mask=at < words, other=-float("inf")).to(tl.float32)
            higher = tl.maximum(highest, tl.max(part, axis=0))
            total = total * tl.exp(highest - higher) + tl.sum(tl.exp(part - higher), axis=0)
            highest = higher
        log_total = highest + tl.log(total)
        tl.store(losses + row, log_total - of_answer)
        tl.debug_barrier()  # the answer's logit is read before it is written over
        for first in range(0, words, BLOCK):
            at = first + tl.arange(0, BLOCK)
            part = tl.load(start + at, mask=at < words, other=-float("inf")).to(tl.float32)
            slope = tl.exp(part - log_total) - tl.where(at == answer, 1.0, 0.0)
            tl.store(start + at, slope.to(logits.dtype.element_ty), mask=at < words)
