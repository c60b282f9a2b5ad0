"""Stands between the gradients and the optimizer: what is no longer sound stops the run before a weight moves."""

import math
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Optional

import torch
from safetensors import SafetensorError

from envdoc.train import checkpoint, nonfinite
from envdoc.train.config import Train
from envdoc.train.divergence import Divergence
from envdoc.train.errors import Diverged
from envdoc.train.events import Events
from envdoc.train.history import History
from envdoc.train.last_good import LastGood
from envdoc.train.model import Precision
from envdoc.train.on_the_way import Gradient
from envdoc.train.progress import say

# fp16's loss scale starts at 65,536, halves at each overflow and doubles after 2,000 good updates: a few skipped
# updates at the start are how it finds its place, and after 16 in a row nothing is left of it.
SKIPPED_TOLD, SKIPPED_LOST = 8, 16
LOWER = "Lower `train.learning_rate`."


class Guard:
    """Judges each update; keeps the adapter that last did well. Every Diverged names the step and what is left."""

    def __init__(
        self, model: Any, folder: Path, train: Train, precision: Precision, history: History, events: Events
    ) -> None:
        self.model, self.folder, self.settings, self.precision = model, folder, train, precision
        self.history, self.events = history, events
        self.last_good = LastGood()
        self.skipped = 0  # updates in a row that loss scaling left out
        self.moved = False  # an update with a learning rate above 0 was taken
        self._divergence: Optional[Divergence] = None

    @property
    def step(self) -> int:
        """The update that is being computed."""
        return int(self.history.last.get("step", 0)) + 1

    def judge_gradient(self, loss: float, gradient: Gradient) -> None:
        """Before the optimizer, or later where its step has left such a gradient out. Waits; raises Diverged."""
        if not math.isfinite(gradient.norm()) and self.precision.dtype != "fp16":
            name = gradient.first_fault(self.model)
            raise self._stop(
                f"The gradient at step {self.step} is not finite"
                + (f", first in `{name}`" if name else "")
                + f", though the loss is {loss:.4f}; training stopped before the update.",
                LOWER,
                loss,
                name,
            )

    def judge_loss(self, loss: float, vocabulary: int) -> None:
        """As soon as the loss is known. Raises Diverged."""
        if self._divergence is None:
            self._divergence = Divergence(vocabulary)
            for _, before in self.history.losses:
                self._divergence.take(before)
        why = self._divergence.take(loss)
        if why and self.settings.stop_when_diverging:
            raise self._stop(
                f"The loss at step {self.step} is {loss:.4f}: it {why}, so training is diverging and stopped there.",
                f"{LOWER} If that rise is meant to be, set `train.stop_when_diverging=false`.",
                loss,
                None,
            )
        if loss <= self._divergence.limit:
            self.last_good.keep(self.step - 1)

    def not_finite(self, loss: float, again: Callable[[], Iterator[None]]) -> Diverged:
        """The error for a loss that is no number; `again` repeats the passes, its first pause is before the last."""
        fault, forward = None, again()
        try:
            next(forward)
            fault = nonfinite.first_fault(lambda: next(forward), self.model)
            told = (
                fault.sentence()
                if fault
                else (
                    "Repeated with the same random numbers every output of every module was finite: suspect the "
                    "hardware, or kernels that are not deterministic."
                )
            )
        except Exception as error:  # a full GPU, above all: the stop itself must be told in any case
            told = f"The pass could not be repeated to find the module ({type(error).__name__})."
        before = self.history.last
        last = f" (at step {before['step']} it was {before['loss']:.4f})" if before else ""
        return self._stop(
            f"The loss at step {self.step} is {loss}{last}; training stopped before the update. {told}",
            fault.hint() if fault else LOWER,
            loss,
            fault.module if fault else None,
        )

    def after_update(self, skipped: bool, learning_rate: float) -> None:
        """Count what loss scaling skips. Raises Diverged after too many in a row."""
        self.moved = self.moved or (learning_rate > 0 and not skipped)
        self.skipped = self.skipped + 1 if skipped else 0
        if self.skipped == SKIPPED_TOLD:
            say(
                f"note: {SKIPPED_TOLD} updates in a row were skipped, since their gradients overflowed fp16 at every "
                "loss scale so far."
            )
        if self.skipped >= SKIPPED_LOST:
            step = self.history.last["step"]
            raise self._stop(
                f"The gradients overflowed fp16 in {SKIPPED_LOST} updates in a row up to step {step}, whatever the "
                "loss scale, so nothing is learnt and training stopped there.",
                "Use `model.dtype=bf16` or fp32, or lower `train.learning_rate`.",
                self.history.last["loss"],
                nonfinite.first_gradient(self.model),
            )

    def check_moved(self, adapter: Mapping[str, torch.Tensor]) -> None:
        """Raises Diverged where no B has left zero though updates were taken (in a warm-up's first they are not)."""
        second = [
            tensor for name, tensor in adapter.items() if ".lora_B" in name or "lora_embedding_B" in name
        ]
        if self.moved and second and not any(bool(tensor.any()) for tensor in second):
            raise Diverged(
                f"After {self.history.last['step']} updates every lora_B is still zero: the adapter learns nothing.",
                "Does anything cut the gradients off? `envdoc check` knows the versions that do.",
            )

    def _stop(self, message: str, hint: str, loss: float, module: Optional[str]) -> Diverged:
        self.events.write("diverged", step=self.step, loss=str(loss), module=module)
        return Diverged(f"{message} {self._what_is_left()}", hint)

    def _what_is_left(self) -> str:
        """Save the adapter that last did well, where no checkpoint is exactly that, and say where what lies."""
        good = self.last_good.step
        whole = checkpoint.newest(self.folder)
        kept = f" `{whole.name}` is whole too." if whole else ""
        if not good:  # the start of every adapter is worth nothing
            return f"No update before it did well.{kept}"
        if (self.folder / f"{checkpoint.PREFIX}{good}").is_dir() and whole:
            return f"The last adapter that did well is that of `{checkpoint.PREFIX}{good}`."
        try:
            place = self.last_good.write(self.model, self.folder)
        except (OSError, SafetensorError) as error:
            return f"The adapter after step {good} could not be saved: {checkpoint.reason(error)}.{kept}"
        return f"The adapter that last did well, after step {good}, is in `{place.name}` of the run's folder.{kept}"
