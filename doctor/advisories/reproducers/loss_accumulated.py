"""A compute_loss that passes num_items_in_batch over: is the logged loss the same for 1 and for 4 accumulated batches?

Passed on to the model, it must be.
"""

import inspect

import _borrowed
import _tiny
from _small import trainer
from _verdict import finish
from transformers import Trainer


class Modified(Trainer):
    """A compute_loss as scripts have it; `passes_on` hands the number of items to the model."""

    passes_on = False

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        known = inspect.signature(super().compute_loss).parameters
        more = (
            {"num_items_in_batch": num_items_in_batch}
            if self.passes_on and "num_items_in_batch" in known
            else {}
        )
        loss = super().compute_loss(model, inputs, **more) if more else model(**inputs).loss
        return (loss, {}) if return_outputs else loss


class Passing(Modified):
    """The remedy."""

    passes_on = True


def logged(cls: type, batches: int) -> float:
    run = trainer(_tiny.llama(), cls=cls, max_steps=1, gradient_accumulation_steps=batches, learning_rate=0.0)
    run.train()
    return float(next(row["loss"] for row in run.state.log_history if "loss" in row))


def ratio(cls: type) -> float:
    return round(logged(cls, 4) / logged(cls, 1), 1)


_borrowed.cured(lambda: ratio(Passing), 1.0)
value = ratio(Modified)
finish(value != 1.0, f"the loss of 4 accumulated batches is {value} times that of one")
