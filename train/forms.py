"""How a micro-batch is given to the model: in which layout, and what is done to it on the host and on the device."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Callable, ContextManager, Optional

from envdoc.train.batches import Batch


def as_it_is(batch: Batch) -> Batch:
    """Padded rows, and packs in the form `positions`."""
    return batch


def _nothing(model: Any) -> ContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True)
class Form:
    """A way of giving rows to a model; labels go along."""

    name: str
    change: Callable[[Batch], Batch]  # on the device
    layout: str = "lines"  # in which it must be laid (batches.py): padded, lines, flat or tiled
    ahead: Callable[[Batch], Batch] = as_it_is  # on the host, before it goes to the device
    around: Callable[[Any], ContextManager[Any]] = _nothing  # the model's forward and backward passes
    otherwise: Optional["Form"] = None  # what it comes to for some batches; tried with it

    def __call__(self, batch: Batch) -> Batch:
        return self.change(batch)


PADDED = Form("padded", as_it_is, "padded")
AS_IT_IS = Form("positions", as_it_is)
