"""transformers' Trainer with our own batches, loss, checkpoints and words.

Trainer keeps what it does well: optimizer and schedule, mixed precision with loss scaling, clipping, the loop, the
way back into it on resume. One batch of its is one update; `training_step` splits it into micro-batches and divides
by the number of labels in the whole update, so that 8 x 1 and 1 x 8 give the same gradient.
"""

import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from envdoc.train import checkpoint, compat
from envdoc.train.batches import Batch, loader
from envdoc.train.config import Train
from envdoc.train.errors import Diverged
from envdoc.train.events import Events
from envdoc.train.history import History
from envdoc.train.labels import MASKED, Corpus
from envdoc.train.model import Precision


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
        arguments: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.corpus, self.pad_id, self.settings = corpus, pad_id, train
        self.folder, self.identity, self.events = folder, identity, events
        self.measured: Dict[str, Any] = {}  # of the update that was just computed
        self.history = History(folder)
        total = total_steps(len(corpus.rows), train)
        values = {
            "output_dir": str(folder),
            "max_steps": total,
            "per_device_train_batch_size": train.batch_size * train.accumulation,
            "learning_rate": train.learning_rate,
            "lr_scheduler_type": train.schedule,
            "warmup_steps": math.ceil(total * train.warmup_fraction) if train.schedule != "constant" else 0,
            "weight_decay": train.weight_decay,
            "max_grad_norm": train.max_grad_norm,
            "seed": train.seed,
            "use_cpu": precision.device.type == "cpu",
            "bf16": precision.dtype == "bf16",
            "fp16": precision.dtype == "fp16",
            **(arguments or {}),
        }
        super().__init__(model=model, args=compat.trainer_arguments(values), train_dataset=list(corpus.rows))
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
        before = self.history.last
        told = f"; the last finite one was {before['loss']:.4f} at step {before['step']}" if before else ""
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
            self.history,
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
