"""The loss without a whole logits tensor: hidden states, chunk by chunk, times the frozen head.

Logits are the largest tensor of a training pass: 8,192 tokens x 128,256 words are 2.1 GB in bf16, 4.2 GB in fp32, and
their gradients as much again. Here only the tokens before a label are looked at, a chunk (chunks.py) at a time, and
each leaves its gradient for the hidden states behind (n x hidden) before the next is begun. The head has no gradient.

Liger's fused linear cross entropy does the same in Triton. It is not taken: it waits for the GPU in each call to count
labels (`.item()`, liger-kernel 0.8.5), which we know already, looks at masked tokens too, and its gradients are rounded
to bf16 in place.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import torch

from envdoc.train import compat
from envdoc.train.answers import LEARNT, PLACES, answer_loss, found
from envdoc.train.fast import chunks, entropy, kernels
from envdoc.train.fast.graphs import Graphs


@dataclass(frozen=True)
class Head:
    """The last layer of a model, and what it does to its logits."""

    decoder: torch.nn.Module  # everything below the head
    linear: torch.nn.Linear
    scale: float = 1.0  # Cohere and Granite multiply their logits
    softcap: Optional[float] = None  # Gemma 2 bends them: cap * tanh(logits / cap)

    @property
    def vocabulary(self) -> int:
        """The last axis of the logits."""
        return int(self.linear.weight.shape[0])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., hidden) to (..., vocabulary), in fp32 where they are bent or scaled."""
        raw = torch.nn.functional.linear(
            _as(hidden, self.linear.weight), self.linear.weight, self.linear.bias
        )
        return self.tail(raw)

    def tail(self, raw: torch.Tensor) -> torch.Tensor:
        """What comes after the product."""
        if self.scale != 1.0:
            raw = raw.float() * self.scale
        if self.softcap is not None:
            raw = torch.tanh(raw.float() / self.softcap) * self.softcap
        return raw

    def loss(self, hidden: torch.Tensor, places: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """The summed cross entropy, in fp32, of `answers` (n,) under the hidden states (tokens, hidden) at `places`."""
        return _SummedLoss.apply(hidden, places, answers, self)  # type: ignore[no-any-return]


def summed_loss(
    model: Any, batch: Dict[str, Any], head: Optional[Head] = None, graphs: Optional[Graphs] = None
) -> torch.Tensor:
    """The summed loss of a micro-batch on the model's device, labels and all; by whole logits where `head` is None.

    What `graphs` have a recording of is replayed. `batch` may hold `answer_places` and `answers` (answers.py), which
    are else found in its labels.
    """
    inputs = dict(batch)
    labels = inputs.pop("labels")
    learnt = {name: inputs.pop(name) for name in (PLACES, LEARNT) if name in inputs}
    if head is None:
        return answer_loss(model(**inputs).logits, labels)
    if not learnt:
        learnt = {name: part.to(labels.device) for name, part in found(labels).items()}
    hidden = graphs.hidden(inputs) if graphs is not None else None
    if hidden is None:
        hidden = head.decoder(**inputs)[0]
    return head.loss(hidden.reshape(-1, hidden.shape[-1]), learnt[PLACES], learnt[LEARNT])


class _SummedLoss(torch.autograd.Function):
    """Forward computes the gradient too, since it has the logits at hand; backward only scales it."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, places: Any, answers: Any, head: Head) -> Any:  # type: ignore[override]
        weight, bias = head.linear.weight, head.linear.bias
        learns = ctx.needs_input_grad[0]
        gradient = torch.zeros_like(hidden) if learns else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        bent = head.scale != 1.0 or head.softcap is not None
        by_kernel = learns and not bent and kernels.usable(hidden)
        size = chunks.rows(head.vocabulary, by_kernel)
        for start in range(0, len(places), size):
            at, answer = places[start : start + size], answers[start : start + size, None]
            raw = torch.nn.functional.linear(_as(hidden[at], weight), weight, bias)
            if by_kernel:
                total += entropy.replace_by_gradient(raw, answers[start : start + size]).sum()
                gradient.index_copy_(0, at, (raw @ weight).to(gradient.dtype))
                del raw  # else two chunks lie there when the next one comes
                continue
            dtype, logits = raw.dtype, head.tail(raw)
            logs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
            of_answer = logs.gather(1, answer)
            total -= of_answer.sum()
            if gradient is None:
                continue
            # d loss / d logits: the probabilities, less one for the answer
            slope = logs.exp_().scatter_(1, answer, of_answer.expm1())
            if head.softcap is not None:
                slope *= 1 - (logits / head.softcap) ** 2
            if head.scale != 1.0:
                slope *= head.scale
            gradient.index_copy_(0, at, (slope.to(dtype) @ weight).to(gradient.dtype))
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Tuple[Any, None, None, None]:  # type: ignore[override]
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(upstream), None, None, None  # by an fp32 number: 1 / labels in bf16 is 0.2% off


def _as(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """In the weight's dtype, unless autocast sees to that."""
    return hidden if compat.autocasts(hidden.device.type) else hidden.to(weight.dtype)
