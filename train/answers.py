"""What is learnt of a batch, and the loss of it: the cross entropy of each label under the token before it."""

from typing import Dict

import torch

from envdoc.train.turns import MASKED

PLACES, LEARNT = "answer_places", "answers"  # of a batch, beside its labels


def answer_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The summed cross entropy, in fp32, of each label under the logits of the token before it.

    logits (rows, length, vocabulary), labels (rows, length).
    """
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]).float(),
        labels[:, 1:].reshape(-1).to(logits.device),
        ignore_index=MASKED,
        reduction="sum",
    )


def remember(labels: torch.Tensor, pinned: bool) -> None:
    """Find what is learnt in these labels now, in the thread that lays updates ahead; `found` then has it at hand.

    It is kept on the tensor itself, so that labels of a batch that was cut have none of it.
    """
    told = found(labels)
    labels.envdoc_found = {  # type: ignore[attr-defined]
        name: part.pin_memory() if pinned else part for name, part in told.items()
    }


def found(labels: torch.Tensor) -> Dict[str, torch.Tensor]:
    """Where something is learnt in labels (rows, length), and what: two tensors (answers,) of int64.

    Places count through all rows, one after another, to the token *before* each label. Found where the batch was
    laid, on the CPU: a GPU would have to be waited for, since how many there are decides the shapes.
    """
    known = getattr(labels, "envdoc_found", None)
    if known is not None:
        return known  # type: ignore[no-any-return]
    rows, length = labels.shape
    following = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=MASKED).reshape(rows * length)
    places = (following != MASKED).nonzero()[:, 0]
    return {PLACES: places, LEARNT: following[places]}
