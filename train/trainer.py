"""transformers' Trainer with our own batches, loss, checkpoints and words.

Trainer keeps what it does well: optimizer and schedule, mixed precision with loss scaling, clipping, the loop, the
way back into it on resume. One batch of its is one update; `training_step` splits it into micro-batches and divides
by the number of labels in the whole update, so that 8 x 1 and 1 x 8 give the same gradient.
"""

import math
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from envdoc.train import checkpoint, compat, out_of_memory, random_state, starts
from envdoc.train.batches import PAD_TO, Batch
from envdoc.train.config import Data, Train
from envdoc.train.entries import Entries
from envdoc.train.errors import ModelError
from envdoc.train.events import Events
from envdoc.train.fast import copies, graphs, lines
from envdoc.train.fast.loss import Head
from envdoc.train.fast.trial import Trial
from envdoc.train.feed import Laying, Update, loader
from envdoc.train.forms import PADDED, Form
from envdoc.train.guard import Guard
from envdoc.train.history import History
from envdoc.train.labels import MASKED, Corpus
from envdoc.train.model import Precision
from envdoc.train.on_the_way import Gradient
from envdoc.train.optimizers import warmup_updates
from envdoc.train.parallel import own_files, shards, world, zero
from envdoc.train.passes import Passes
from envdoc.train.progress import Progress, say
from envdoc.train.stepping import Stepping
from envdoc.train.units import Units


def steps_per_epoch(units: int, train: Train) -> int:
    """Updates in one pass over the rows or packs; the last one may be smaller."""
    return math.ceil(units / (train.batch_size * train.accumulation))


def total_steps(units: int, train: Train) -> int:
    """Updates of the whole run."""
    return train.steps or train.epochs * steps_per_epoch(units, train)


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
        units: Optional[Units] = None,
        form: Form = PADDED,
        head: Optional[Head] = None,
    ) -> None:
        self.corpus, self.pad_id, self.settings = corpus, pad_id, train
        self.folder, self.identity, self.events = folder, identity, events
        # Of the update that was just computed.
        self.measured: Dict[str, Any] = {}
        self.gradient = Gradient(torch.zeros(()))
        own = world.own_folder(folder)  # where only rank 0 may write, the others write for themselves
        self.history = History(own)
        self.guard = Guard(model, own, train, precision, self.history, events)
        self.entries = Entries(self.history, events, self.guard, Progress(train.log_every))
        self.zero: Optional[zero.Zero] = None  # DeepSpeed's engine, made with the optimizer
        self.zero_config: Dict[str, Any] = {}  # what it is told
        self.spared: Optional[int] = None  # the step of a checkpoint that is kept whatever `train.keep` says
        self.halvings = 0  # of the micro-batch, for want of memory
        self._fast_trial = Trial()
        self.units, self.form = units or Units(corpus.lengths, Data(), train.seed), form
        total = total_steps(len(self.units), train)
        values = {
            "output_dir": str(folder),
            "max_steps": total,
            "per_device_train_batch_size": train.batch_size * train.accumulation,
            "learning_rate": train.learning_rate,
            "lr_scheduler_type": train.schedule,
            "warmup_steps": warmup_updates(train, total),
            "weight_decay": train.weight_decay,
            # else clipped here, or by DeepSpeed in its step
            "max_grad_norm": train.max_grad_norm if precision.dtype == "fp16" else 0.0,
            "seed": train.seed,
            "use_cpu": precision.device.type == "cpu",
            "bf16": precision.dtype == "bf16",
            "fp16": precision.dtype == "fp16",
            **(arguments or {}),
        }
        super().__init__(model=model, args=compat.trainer_arguments(values), train_dataset=corpus.rows)
        self.remove_callback(PrinterCallback)
        self.stepping = Stepping(self)
        replays = graphs.can_replay(train, form, head, self.args)
        recorded = None
        if replays:
            weights, longest = self.stepping.trained.weights, max(corpus.lengths)
            recorded = graphs.Graphs(model, head.decoder, weights, longest)
        self.passes = Passes(form, head, self.args.device, self.accelerator.autocast, recorded)

    @property
    def micro_batch(self) -> int:
        """Rows in a pass, as far as it was halved."""
        return -(-self.settings.batch_size // 2**self.halvings)

    def get_train_dataloader(self) -> Any:
        per_epoch = steps_per_epoch(len(self.units), self.settings)
        packs, max_length = self.units.data.packing is True, self.units.data.max_length
        laying = Laying(
            batch_size=self.settings.batch_size,
            pad_id=self.pad_id,
            layout=self.form.layout,
            packs=packs,
            max_length=max_length,
            share=world.size(),
            step=lines.step_of(packs, max_length) if self.passes.graphs else PAD_TO,
        )
        return loader(
            self.corpus.rows,
            self.units,
            self.settings.accumulation,
            laying,
            lambda: int(self.state.global_step // per_epoch),
        )

    def training_step(self, model: Any, inputs: Update, num_items_in_batch: Any = None) -> torch.Tensor:
        """The gradients of one update, in as many micro-batches as memory asks for; raises Diverged, ModelError."""
        if not model.training:  # else it goes through every module for nothing
            model.train()
        batches = inputs["micro_batches"]
        targets = inputs["answer_tokens"]  # over all processes: what the update's loss is divided by
        mine = world.share(batches, MASKED)
        start = random_state.take()
        self._fast_trial.take(self.guard.moved, self.model, self.passes, self.corpus.rows, self.events)
        self.guard.last_good.mark(self.model)
        while True:
            parts, full = out_of_memory.cut(mine, self.halvings), None
            try:
                told = self.passes.run(model, parts, targets, self._backward, self.zero)
            except (*compat.out_of_memory(), RuntimeError, MemoryError) as error:
                full = out_of_memory.of_whom(error)
                if full is None:
                    raise
            full = out_of_memory.full_anywhere(full)
            if full is None:
                break
            if not self._given_up():
                self._halve(mine, full)
            random_state.put(start)  # without dropout, as if the smaller micro-batch had been asked for
        self.gradient, is_taken = self.stepping.enqueue(told.source)
        self.entries.settle()  # of the update before, whose norm is there by now
        # What stops a run must be known before a weight moves; a step that was enqueued knew it by itself.
        shares = told.wait()
        loss = world.add_up(sum(shares))[0]
        if not math.isfinite(loss):
            place = next((at for at, part in enumerate(shares) if not math.isfinite(part)), len(shares) - 1)
            if world.sharded():  # the ranks must call the model equally often
                place = len(shares) - 1
            random_state.put(start)
            raise self.guard.not_finite(loss, lambda: self.passes.again(model, parts[: place + 1]))
        self.guard.judge_loss(loss, self.passes.vocabulary)
        if not is_taken:
            self.guard.judge_gradient(loss, self.gradient)
        self.measured = {
            "loss": loss,
            "learning_rate": float(self.lr_scheduler.get_last_lr()[0]),
            "tokens": inputs["tokens"],
            "padded_tokens": sum(
                part["input_ids"].numel() for part in out_of_memory.cut(batches, self.halvings)
            ),
            "answer_tokens": targets,
            "data_wait_seconds": inputs["data_wait_seconds"],
        }
        return told.source.sum()

    def _backward(self, loss: torch.Tensor) -> None:
        (self.zero or self.accelerator).backward(loss * world.size())  # the engines take the mean over ranks
        if world.size() == 1:  # else ranks would stop at different places
            self.entries.settle_if_there()

    def _given_up(self) -> bool:
        """Whether recorded passes held memory that was wanted; they are given up, and the update is tried again."""
        if self.passes.graphs is None or self.passes.graphs.is_off:
            return False
        say("note: Out of memory; the passes recorded as CUDA graphs are given up, and computed from now on.")
        self.passes.graphs.drop()
        out_of_memory.let_go(self.model)
        return True

    def _halve(self, batches: List[Batch], full: str) -> None:
        """Halve the micro-batch for the rest of the run. Raises ModelError where it cannot be halved."""
        self.entries.settle()
        before = out_of_memory.cut(batches, self.halvings)
        after = out_of_memory.cut(batches, self.halvings + 1)
        step, was, now = self.state.global_step + 1, out_of_memory.size(before), out_of_memory.size(after)
        word = "rows" if "attention_mask" in batches[0] else "tokens"
        if len(before) == len(after) or world.splits_optimizer():
            kept = checkpoint.newest(self.folder)
            raise ModelError(
                f"{full[:1].upper()}{full[1:]} ran out of memory at step {step}"
                + (" on one row." if len(before) == len(after) else f" on {was} {word}.")
                + (f" {kept.name} is whole." if kept else ""),
                (
                    ""
                    if len(before) == len(after)
                    else "Halve `train.batch_size` and double `train.accumulation`. "
                )
                + out_of_memory.ADVICE,
            )
        out_of_memory.let_go(self.model)
        self.halvings += 1
        self.events.write("oom", step=step, micro_batch_was=was, micro_batch_is=now)
        say(
            f"note: Out of memory ({full}) at step {step} with {was} {word} in a pass; going on with {now}, and as "
            "many more passes an update. The update is the same"
            + (", but for the dropout drawn." if out_of_memory.drops(self.model) else ".")
        )

    def create_optimizer(self, *given: Any) -> Any:
        """Trainer's own, or one made before; with DeepSpeed as the engine takes its steps."""
        super().create_optimizer(*given)
        if world.here().stage and self.zero is None:
            self.zero = zero.Zero(self.model, self.optimizer, self.zero_config)
            self.optimizer = self.zero.optimizer
        return self.optimizer

    # From here on: how Trainer saves and loads, in our own files (checkpoint.py).

    def _save_checkpoint(self, model: Any, trial: Any, metrics: Any = None) -> None:
        self.entries.settle()
        since, step = time.perf_counter(), self.state.global_step
        model = shards.whole_adapter(self.model) if world.sharded() else self.model
        if not world.is_main():
            own_files.contribute(self.folder, self.optimizer)
            return
        copies.check(self.model)
        adapter = starts.saved_tensors(model)
        self.guard.check_moved(adapter)
        moment = checkpoint.Moment(
            step=step,
            model=model,
            adapter=adapter,
            optimizer=self.optimizer,
            scheduler=self.lr_scheduler,
            scaler=self.loss_scaler(),
            trainer_state=self.state,
            history=self.history,
            halvings=self.halvings,
            identity=self.identity,
        )
        written = checkpoint.write(self.folder, moment, self.settings.keep, self.spared)
        own_files.done()
        size = sum(path.stat().st_size for path in written.iterdir())
        self.events.write(
            "checkpoint", step=step, bytes=size, seconds=time.perf_counter() - since, reread=True
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not world.sharded():  # else before the base was cut into shards (fit)
            checkpoint.load_adapter(Path(resume_from_checkpoint), self.model)
        self.halvings = checkpoint.halvings(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint_folder: Optional[str]) -> None:
        if checkpoint_folder is not None:
            checkpoint.load_state(
                Path(checkpoint_folder), self.optimizer, self.lr_scheduler, self.loss_scaler()
            )
            own_files.load_optimizer(Path(checkpoint_folder), self.optimizer)

    def _load_scaler(self, checkpoint_folder: Optional[str]) -> None:
        """Loaded with the optimizer; Trainer of transformers 5 would look for its own file."""

    def _load_rng_state(self, checkpoint_folder: Optional[str]) -> None:
        if checkpoint_folder is not None:
            own_files.load_random(Path(checkpoint_folder))

    def loss_scaler(self) -> Optional[Any]:
        """That of fp16."""
        return getattr(self.accelerator, "scaler", None)

    def _get_grad_norm(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """Not measured again: transformers 5 goes through every parameter for it where it does not clip."""

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: Trainer's formula takes the frozen base for trained."""
        return 0
