"""The loss on held-out rows while training, early stopping by it, and answers to sample questions.

None of it moves the training: the model is put back as it was and so is every random state, so that the losses with
and without it are equal bit by bit. What was found so far is in the Trainer's log, which checkpoints carry.
"""

import json
import math
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import torch
from transformers import TrainerCallback

from envdoc.train import checkpoint, samples
from envdoc.train.answers import answer_loss
from envdoc.train.batches import pad
from envdoc.train.config import Eval
from envdoc.train.labels import MASKED
from envdoc.train.outcome import Outcome
from envdoc.train.parallel import world
from envdoc.train.progress import say
from envdoc.train.ready import Ready

LOSS = "eval_loss"  # its name in the Trainer's log, and for the trackers

Judgements = Tuple[Tuple[int, float], ...]  # (step, loss) of each evaluation, in order


def judgements(history: Sequence[Dict[str, Any]]) -> Judgements:
    """Every evaluation in a Trainer's log."""
    return tuple((int(entry["step"]), float(entry[LOSS])) for entry in history if LOSS in entry)


def best_step(done: Judgements) -> Optional[int]:
    """The update after which the held-out loss was lowest; the earlier one of two equals."""
    finite = [(loss, step) for step, loss in done if math.isfinite(loss)]
    return min(finite)[1] if finite else None


def is_over(done: Judgements, patience: int) -> bool:
    """True where the last `patience` evaluations brought nothing better than one before them."""
    if not patience or len(done) <= patience:
        return False
    best = best_step(done)
    return best is None or best <= done[-patience - 1][0]


def is_over_at(folder: Optional[Path], patience: int) -> bool:
    """The same of the run that a checkpoint belongs to."""
    return folder is not None and is_over(_judgements_at(folder), patience)


def _judgements_at(folder: Path) -> Judgements:
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    return judgements(state["log_history"])


class Judge(TrainerCallback):  # type: ignore[misc]
    """Judges every `eval.every` updates and after the last one, and ends the run where `eval.patience` says so."""

    def __init__(self, ready: Ready, trainer: Any, events: Any) -> None:
        self.ready, self.trainer, self.events = ready, trainer, events
        self.settings: Eval = ready.settings.eval
        self.questions = samples.questions(self.settings)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._spare_best(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        last = state.global_step == state.max_steps
        if state.global_step % self.settings.every and not last:
            return
        self.trainer.entries.settle()  # what was trained is told before what came of it
        with undisturbed(self.trainer.model):
            if self.ready.held_out is not None:
                self._judge(state, control)
            if self.questions:
                self._answer(state)
        # Tells the others, of whom Watch does not count this time as training.
        self.trainer.callback_handler.on_evaluate(args, state, control, {})

    def _judge(self, state: Any, control: Any) -> None:
        loss = self._loss()
        self.trainer.log({LOSS: loss})
        self.events.write("eval", step=state.global_step, loss=loss)
        done = judgements(state.log_history)
        best = best_step(done)
        told = (
            "the best so far"
            if best == state.global_step
            else f"best {dict(done).get(best, loss):.4f} at step {best}"
        )
        say(f"step {state.global_step}  held-out loss {loss:.4f} a token ({told})")
        if not self.settings.patience:
            return
        if best == state.global_step:
            control.should_save = True
        self._spare_best(state)
        if is_over(done, self.settings.patience):
            control.should_training_stop = control.should_save = True

    def _spare_best(self, state: Any) -> None:
        if self.settings.patience:
            self.trainer.spared = best_step(judgements(state.log_history))

    def _loss(self) -> float:
        """The cross entropy of an answer token, averaged over all held-out answers."""
        assert self.ready.held_out is not None
        corpus = self.ready.held_out.corpus
        order = sorted(
            range(len(corpus.rows)), key=lambda place: int(corpus.lengths[place])
        )  # little padding
        total, targets = 0.0, 0
        for start in range(0, len(order), self.settings.batch_size):
            chosen = order[start : start + self.settings.batch_size]
            batch = pad([corpus.rows[place] for place in chosen], self.ready.pad_id)
            on_device = {name: tensor.to(self.trainer.args.device) for name, tensor in batch.items()}
            labels = on_device.pop("labels")
            with self.trainer.compute_loss_context_manager():
                logits = self.trainer.model(**on_device).logits
            total += float(answer_loss(logits, labels))
            targets += int((labels[:, 1:] != MASKED).sum())
        return total / targets

    def _answer(self, state: Any) -> None:
        for question, text in samples.answers(self.ready, self.trainer, self.questions):
            say(f"step {state.global_step}  {question!r} -> {text!r}")
            self.events.write("sample", step=state.global_step, prompt=question, text=text)


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """No gradients, no dropout, no noise; mode and random states are then as before."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            yield
    finally:
        model.train(training)


def conclude(ready: Ready, trainer: Any, done: Outcome) -> Outcome:
    """What was judged goes into the outcome; early stopping lays the best adapter into the model."""
    judged = judgements(trainer.state.log_history)
    if (
        ready.checkpoint is not None and checkpoint.step_of(ready.checkpoint) == done.steps
    ):  # nothing was left to do
        judged = _judgements_at(ready.checkpoint)
    best = best_step(judged)
    done = replace(done, judgements=judged, adapter_step=done.steps)
    if not ready.settings.eval.patience or best is None:
        return done
    if best != done.steps and not world.sharded():  # else when the model is whole again (shards.unsharded)
        checkpoint.load_adapter(ready.folder / f"{checkpoint.PREFIX}{best}", trainer.model)
    ended = (
        f"ended after step {done.steps} of {trainer.args.max_steps}"
        if done.steps < trainer.args.max_steps
        else "is done"
    )
    print(
        f"The run {ended}; the adapter is that of step {best}, whose held-out loss {dict(judged)[best]:.4f} is the "
        f"best of {len(judged)}.",
        flush=True,
    )
    return replace(done, adapter_step=best)
