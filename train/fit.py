"""From the first update to the last: what is written down, said and saved on the way, and how a run ends early."""

from pathlib import Path
from typing import Any, Optional, Sequence

import torch
from transformers import TrainerCallback, TrainerState, set_seed

from envdoc.train import checkpoint, compat, out_of_memory
from envdoc.train.errors import Interrupted, ModelError
from envdoc.train.on_the_way import Instant
from envdoc.train.outcome import Outcome, outcome
from envdoc.train.parallel import world
from envdoc.train.progress import say
from envdoc.train.signals import StopRequest
from envdoc.train.trainer import AdapterTrainer


class Watch(TrainerCallback):  # type: ignore[misc]
    """Writes down each update, says what is to be said, and decides when to save. The first of the callbacks."""

    def __init__(self, trainer: AdapterTrainer, stop: StopRequest) -> None:
        self.trainer, self.stop = trainer, stop
        self.entries = trainer.entries

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.entries.progress.start(state.global_step, state.max_steps)
        self._begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        begun, self.begun = self.begun, Instant(self.trainer.args.device)
        measured = self.trainer.measured
        self.entries.take({"step": state.global_step, **measured}, self.trainer.gradient, begun, self.begun)
        self.trainer.guard.after_update(
            bool(self.trainer.accelerator.optimizer_step_was_skipped), measured["learning_rate"]
        )
        # Whichever rank heard it; one that comes while they agree waits for the next update, and must not be lost.
        number = world.most(self.stop.number or 0)
        if number:
            self.stop.number = number
        every = state.global_step % self.trainer.settings.save_every == 0
        if number:
            self.trainer.events.write("signal", step=state.global_step, number=number)
            control.should_training_stop = True
        if every or number or state.global_step == state.max_steps:
            control.should_save = True
        if control.should_save or self.entries.progress.is_said(state.global_step):
            self.entries.settle()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begin()  # evaluating is no training time

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begin()  # nor is saving

    def _begin(self) -> None:
        """An update begins now."""
        self.begun = Instant(self.trainer.args.device)


def fit(
    trainer: AdapterTrainer,
    resume: Optional[Path],
    callbacks: Sequence[TrainerCallback] = (),
    over: bool = False,
) -> Outcome:
    """Train to the end, from `resume` where given; `callbacks` are called after our own, in their order.

    `over` says that the run had ended at `resume` already, before its last update (early stopping).

    Raises Diverged, SaveError, ModelError (memory), Interrupted.
    """
    if resume is not None:
        _restore_history(trainer, resume)
        if over or checkpoint.step_of(resume) >= trainer.args.max_steps:
            # Trainer would add one more update (its loop asks only after an update whether all are done).
            if not world.sharded():
                checkpoint.load_adapter(resume, trainer.model)
            return outcome(checkpoint.step_of(resume), trainer.history, resume, trainer.micro_batch)
    stop = StopRequest()
    watch = Watch(trainer, stop)
    trainer.add_callback(watch)
    for callback in callbacks:
        trainer.add_callback(callback)
    set_seed(
        trainer.settings.seed + world.rank()
    )  # ranks that drew the same dropout would draw it for other rows
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        with stop:
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
            trainer.entries.settle()
    except (*compat.out_of_memory(), RuntimeError, MemoryError) as error:
        full = out_of_memory.of_whom(error)
        if full is None:
            raise
        # Outside of an update's passes, which would have been repeated: the optimizer's own state, an evaluation.
        kept = checkpoint.newest(trainer.folder)
        raise ModelError(
            f"{full[:1].upper()}{full[1:]} ran out of memory after step {trainer.state.global_step}."
            + (f" {kept.name} is whole." if kept else ""),
            f"Halve `train.batch_size` and double `train.accumulation`. {out_of_memory.ADVICE}",
        ) from None
    except KeyboardInterrupt:
        raise _interrupted(trainer, stop) from None
    finally:
        trainer.entries.progress.stop()
        if trainer.passes.graphs is not None:
            trainer.passes.graphs.drop()  # what comes after training wants their memory
    if stop.number is not None and trainer.state.global_step < trainer.state.max_steps:
        raise _interrupted(trainer, stop)
    kept = checkpoint.newest(trainer.folder)
    if kept is None or checkpoint.step_of(kept) != trainer.state.global_step:  # a callback ended it early
        trainer._save_checkpoint(trainer.model, None)
    return outcome(trainer.state.global_step, trainer.history, resume, trainer.micro_batch)


def _restore_history(trainer: AdapterTrainer, resume: Path) -> None:
    mark = checkpoint.history_mark(resume)
    if mark is None:  # written before `steps.jsonl` was kept
        state = TrainerState.load_from_json(str(resume / "trainer_state.json"))
        trainer.history.adopt(state.log_history)
        return
    lost = trainer.history.restore(mark)
    if lost:
        say(f"The losses before {resume.name} are lost: {lost}. The training itself goes on exactly.")


def _interrupted(trainer: AdapterTrainer, stop: StopRequest) -> Interrupted:
    kept = checkpoint.newest(trainer.folder)
    state = trainer.state
    return Interrupted(
        f"Stopped at step {state.global_step} of {state.max_steps}; "
        + (f"`{kept}` is whole." if kept else "no checkpoint was written yet."),
        "Go on with the same command and --resume." if kept else None,
        stop.exit_code,
    )
