"""The passes of an update: a micro-batch brought to the device, through the model, to its loss, and back."""

from typing import Any, Callable, Iterator, List, Optional

import torch

from envdoc.train.answers import answer_loss, found
from envdoc.train.batches import Batch
from envdoc.train.fast.graphs import Graphs
from envdoc.train.fast.loss import Head, summed_loss
from envdoc.train.feed import on_device
from envdoc.train.forms import Form
from envdoc.train.on_the_way import OnTheWay


class Passes:
    """Of one model. `autocast` is a function that gives the context of the run's mixed precision."""

    def __init__(
        self,
        form: Form,
        head: Optional[Head],
        device: torch.device,
        autocast: Callable[[], Any],
        graphs: Optional[Graphs] = None,
    ) -> None:
        self.form, self.head, self.device, self.autocast, self.graphs = form, head, device, autocast, graphs
        self.vocabulary = (
            head.vocabulary if head else 0
        )  # the last axis of the logits, else known from the first pass

    def run(
        self,
        model: Any,
        parts: List[Batch],
        targets: int,
        backward: Callable[[torch.Tensor], None],
        zero: Any = None,
    ) -> OnTheWay:
        """Forward and backward of each micro-batch; the share of the update's loss of each, still on the way.

        They are sent before the last backward pass. `zero` is DeepSpeed's engine (parallel/zero.py), through which the
        model is called where there is one.
        """
        losses: List[torch.Tensor] = []
        with self.form.around(model):
            for place, part in enumerate(parts, 1):
                if zero:
                    zero.next_pass(last=place == len(parts))
                loss = self._loss(zero.engine if zero else model, part) / targets
                losses.append(loss.detach())
                if place == len(parts):
                    told = OnTheWay(torch.stack(losses))
                backward(loss)
                del loss  # else the last part's graph lives on beside the next one's
        return told

    def again(self, model: Any, parts: List[Batch]) -> Iterator[None]:
        """The forward passes of these micro-batches once more; the caller sets hooks before the last of them.

        By whole logits in any case, so that a hook sees the head, too.
        """
        with self.form.around(model):
            for part in parts[:-1]:
                with torch.no_grad():
                    self._logits(model, self._taken(part))
            yield
            self._logits(model, self._taken(parts[-1]))
            yield

    def _loss(self, model: Any, part: Batch) -> torch.Tensor:
        taken = self._taken(part)
        if self.head is not None:
            taken.update(on_device(found(part["labels"]), self.device))
            with self.autocast():
                return summed_loss(model, taken, self.head, self.graphs)
        labels = taken["labels"]
        return answer_loss(self._logits(model, taken), labels)

    def _logits(self, model: Any, taken: Batch) -> torch.Tensor:
        inputs = {name: content for name, content in taken.items() if name != "labels"}
        logits: torch.Tensor = model(**inputs).logits
        self.vocabulary = logits.shape[-1]
        return logits

    def _taken(self, part: Batch) -> Batch:
        """The micro-batch as the model takes it, on the device."""
        return self.form(on_device(self.form.ahead(part), self.device))
