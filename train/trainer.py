"""transformers' Trainer with our own batches, loss, checkpoints and words.

Trainer keeps what it does well: optimizer and schedule, mixed precision with loss scaling, clipping, the loop, the
way back into it on resume. One batch of its is one update; `training_step` splits it into micro-batches and divides
by the number of labels in the whole update, so that 8 x 1 and 1 x 8 give the same gradient.
"""

import math
import os
import signal
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from transformers import Trainer, TrainerCallback, TrainerState, set_seed
from transformers.trainer_callback import PrinterCallback

from envdoc.train import checkpoint, compat
from envdoc.train.batches import Batch, loader
from envdoc.train.config import Train
from envdoc.train.errors import Diverged, Interrupted, ModelError
from envdoc.train.events import Events
from envdoc.train.labels import MASKED, Corpus
from envdoc.train.model import Precision
from envdoc.train.outcome import Outcome, losses_of, outcome
from envdoc.train.progress import Progress


def steps_per_epoch(rows: int, train: Train) -> int:
    """Updates in one pass over the rows; the last one may be smaller."""
    return math.ceil(rows / (train.batch_size * train.accumulation))


def total_steps(rows: int, train: Train) -> int:
    """Updates of the whole run."""
    return train.steps or train.epochs * steps_per_epoch(rows, train)


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


class AdapterTrainer(Trainer):  # type: ignore[misc]
    """Trains the adapter of `model`; `identity` is written into each checkpoint."""

    def __init__(
        self,
        model: Any,
        corpus: Corpus,
        pad_id: int,
        train: Train,
        precision: Precision,
        folder: Path,
        identity: Mapping[str, Any],
        events: Events,
    ) -> None:
        self.corpus, self.pad_id, self.settings = corpus, pad_id, train
        self.folder, self.identity, self.events = folder, identity, events
        self.measured: Dict[str, Any] = {}
        total = total_steps(len(corpus.rows), train)
        arguments = compat.trainer_arguments(
            {
                "output_dir": str(folder),
                "max_steps": total,
                "per_device_train_batch_size": train.batch_size * train.accumulation,
                "learning_rate": train.learning_rate,
                "lr_scheduler_type": train.schedule,
                "warmup_steps": math.ceil(total * train.warmup_fraction)
                if train.schedule != "constant"
                else 0,
                "weight_decay": train.weight_decay,
                "max_grad_norm": train.max_grad_norm,
                "seed": train.seed,
                "use_cpu": precision.device.type == "cpu",
                "bf16": precision.dtype == "bf16",
                "fp16": precision.dtype == "fp16",
            }
        )
        super().__init__(model=model, args=arguments, train_dataset=list(corpus.rows))
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> Any:
        per_epoch = steps_per_epoch(len(self.corpus.rows), self.settings)
        return loader(
            self.corpus.rows,
            self.settings.batch_size,
            self.settings.accumulation,
            self.pad_id,
            self.settings.seed,
            lambda: int(self.state.global_step // per_epoch),
        )

    def training_step(
        self, model: Any, inputs: Dict[str, List[Batch]], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        model.train()
        batches = inputs["micro_batches"]
        targets = sum(int((batch["labels"][:, 1:] != MASKED).sum()) for batch in batches)
        total = 0.0
        for batch in batches:
            on_device = self._prepare_inputs(dict(batch))
            labels = on_device.pop("labels")
            with self.compute_loss_context_manager():
                logits = model(**on_device).logits
            loss = answer_loss(logits, labels) / targets
            total += float(loss.detach())
            if not math.isfinite(total):
                raise self._diverged(total)
            self.accelerator.backward(loss)
        self.measured = {
            "loss": total,
            "learning_rate": float(self.lr_scheduler.get_last_lr()[0]),
            "tokens": sum(int(batch["attention_mask"].sum()) for batch in batches),
            "padded_tokens": sum(batch["input_ids"].numel() for batch in batches),
            "answer_tokens": targets,
        }
        return torch.tensor(total, device=self.args.device)

    def _diverged(self, loss: float) -> Diverged:
        step = self.state.global_step + 1
        before = losses_of(self.state.log_history)
        told = f"; the last finite one was {before[-1][1]:.4f} at step {before[-1][0]}" if before else ""
        kept = checkpoint.newest(self.folder)
        return Diverged(
            f"The loss at step {step} is {loss}{told}, so training stopped there.",
            "Lower `train.learning_rate`, or use `model.dtype=bf16` or fp32 in place of fp16."
            + (f" {kept.name} is whole." if kept else ""),
        )

    # From here on: how Trainer saves and loads, in our own files (checkpoint.py).

    def _save_checkpoint(self, model: Any, trial: Any, metrics: Any = None) -> None:
        checkpoint.write(
            self.folder,
            self.state.global_step,
            self.model,
            self.optimizer,
            self.lr_scheduler,
            self._scaler(),
            self.state,
            self.identity,
            self.settings.keep,
        )
        self.events.write("checkpoint", step=self.state.global_step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        checkpoint.load_adapter(Path(resume_from_checkpoint), self.model)

    def _load_optimizer_and_scheduler(self, checkpoint_folder: Optional[str]) -> None:
        if checkpoint_folder is not None:
            checkpoint.load_state(Path(checkpoint_folder), self.optimizer, self.lr_scheduler, self._scaler())

    def _load_scaler(self, checkpoint_folder: Optional[str]) -> None:
        """Loaded with the optimizer; Trainer of transformers 5 would look for its own file."""

    def _load_rng_state(self, checkpoint_folder: Optional[str]) -> None:
        if checkpoint_folder is not None:
            checkpoint.load_random(Path(checkpoint_folder))

    def _scaler(self) -> Optional[Any]:
        return getattr(self.accelerator, "scaler", None)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: Trainer's formula takes the frozen base for trained."""
        return 0


class Watch(TrainerCallback):  # type: ignore[misc]
    """Writes down each update, says what is to be said, decides when to save, and listens for Ctrl-C."""

    def __init__(self, trainer: AdapterTrainer) -> None:
        self.trainer = trainer
        self.progress = Progress(trainer.settings.log_every)
        self.signal: Optional[int] = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress.start(state.global_step, state.max_steps)
        self.since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seconds = time.perf_counter() - self.since
        measured = self.trainer.measured
        state.log_history.append({"step": state.global_step, "seconds": seconds, **measured})
        self.trainer.events.write("step", step=state.global_step, seconds=seconds, **measured)
        self.progress.step(
            state.global_step,
            state.max_steps,
            measured["loss"],
            measured["learning_rate"],
            measured["tokens"] / seconds,
        )
        every = state.global_step % self.trainer.settings.save_every == 0
        if self.signal is not None:
            control.should_training_stop = True
        if every or self.signal is not None or state.global_step == state.max_steps:
            control.should_save = True
        self.since = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.since = time.perf_counter()  # saving is no training time

    def on_signal(self, number: int, frame: Any) -> None:
        """First time: stop after this update. Second time: at once; the last checkpoint is whole either way."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        # Not by print: the signal may have come in the middle of one, and Python refuses a second (reentrant call).
        os.write(2, b"\nStopping after this update, with a checkpoint; press Ctrl-C again to stop at once.\n")


def fit(trainer: AdapterTrainer, resume: Optional[Path]) -> Outcome:
    """Train to the end, from `resume` where given. Raises Diverged, SaveError, ModelError (memory), Interrupted."""
    if resume is not None and checkpoint.step_of(resume) >= trainer.args.max_steps:
        # Trainer would add one more update (its loop asks only after an update whether all are done).
        checkpoint.load_adapter(resume, trainer.model)
        state = TrainerState.load_from_json(str(resume / "trainer_state.json"))
        return outcome(state.global_step, state.log_history, resume)
    watch = Watch(trainer)
    trainer.add_callback(watch)
    set_seed(trainer.settings.seed)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    before = {number: signal.signal(number, watch.on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except compat.out_of_memory():
        kept = checkpoint.newest(trainer.folder)
        raise ModelError(
            f"The GPU ran out of memory at step {trainer.state.global_step + 1}."
            + (f" {kept.name} is whole." if kept else ""),
            "Halve `train.batch_size` and double `train.accumulation` (the result is the same), lower "
            "`data.max_length`, or set `train.gradient_checkpointing=true` or `model.quantization=4bit`.",
        ) from None
    except KeyboardInterrupt:
        raise _interrupted(trainer, watch.signal) from None
    finally:
        watch.progress.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    if watch.signal is not None and trainer.state.global_step < trainer.state.max_steps:
        raise _interrupted(trainer, watch.signal)
    return outcome(trainer.state.global_step, trainer.state.log_history, resume)


def _interrupted(trainer: AdapterTrainer, number: Optional[int]) -> Interrupted:
    kept = checkpoint.newest(trainer.folder)
    state = trainer.state
    return Interrupted(
        f"Stopped at step {state.global_step} of {state.max_steps}; "
        + (f"`{kept}` is whole." if kept else "no checkpoint was written yet."),
        "Go on with the same command and --resume." if kept else None,
        128 + (number or signal.SIGINT),
    )
