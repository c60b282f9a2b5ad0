"""Unsloth and TRL as released: the same base, read from a folder, the same rows, packed by TRL.

Words of a recipe: batch=N, length=N (of a pack), checkpointing=none|unsloth|true.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Dict

os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
from unsloth import FastLanguageModel  # isort: skip  # it must come before what it changes

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from bench_train import marks, work
from bench_train.recipes import ALL, ALPHA, RATE, SEED, Recipe
from bench_train.shapes import SHAPES, rows_for


class Measurer:
    """Runs recipes in this process; the base is loaded for each of them."""

    def __init__(self, place: Path, shrink: int) -> None:
        self.place, self.shrink = place, shrink

    def __call__(self, recipe: Recipe) -> Dict[str, Any]:
        words = dict(word.split("=", 1) for word in recipe.words)
        length, batch = int(words["length"]), int(words["batch"])
        vocabulary = SHAPES[recipe.shape].vocabulary
        model, tokenizer = FastLanguageModel.from_pretrained(
            str(self.place / recipe.shape),
            max_seq_length=length,
            dtype=torch.bfloat16,
            load_in_4bit=recipe.by.endswith("nf4"),
            local_files_only=True,
        )
        model = FastLanguageModel.get_peft_model(
            model,
            r=recipe.r,
            lora_alpha=ALPHA,
            lora_dropout=0,
            bias="none",
            target_modules=ALL.split(","),
            use_gradient_checkpointing={"none": False, "true": True}.get(words["checkpointing"], "unsloth"),
            random_state=SEED,
        )
        mark = marks.Marks(recipe.warm, recipe.timed)
        losses = marks.Losses(mark.steps)
        rows = work.rows(
            rows_for(recipe.tokens * mark.steps, recipe.fixed, self.shrink),
            vocabulary,
            recipe.fixed,
            self.shrink,
        )
        before = _judged(model, vocabulary, self.shrink)
        with tempfile.TemporaryDirectory(dir=str(self.place)) as folder:
            arguments = SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=batch,
                max_steps=mark.steps,
                learning_rate=RATE,
                lr_scheduler_type="constant",
                bf16=True,
                logging_steps=1000,
                save_strategy="no",
                report_to=[],
                optim="adamw_torch",
                max_length=length,
                packing=True,
                seed=SEED,
            )
            counted = Counted(recipe.warm, mark.steps)
            trainer = SFTTrainer(
                model=model,
                processing_class=tokenizer,
                train_dataset=Dataset.from_list([{"input_ids": row} for row in rows]),
                args=arguments,
                callbacks=[mark, losses, counted],
            )
            trainer.data_collator = counted.around(trainer.data_collator)
            marks.begin()
            trainer.train()
        return {
            **mark.result,
            "tokens": counted.tokens,
            "losses": [losses.seen[0], losses.seen[-1]],
            "judged": [before, _judged(model, vocabulary, self.shrink)],
        }


class Counted(marks.TrainerCallback):  # type: ignore[misc]
    """Useful tokens of the timed updates, counted where batches are laid: as many ahead at the end as at the start."""

    def __init__(self, warm: int, steps: int) -> None:
        self.warm, self.steps = warm, steps
        self._laid, self._at_warm, self.tokens = 0, 0, 0

    def around(self, collate: Any) -> Any:
        """The same collator, counting."""

        def counting(rows: Any) -> Any:
            batch = collate(rows)
            mask = batch.get("attention_mask")
            self._laid += int(mask.sum()) if mask is not None else batch["input_ids"].numel()
            return batch

        return counting

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.warm:
            self._at_warm = self._laid
        if state.global_step == self.steps:
            self.tokens = self._laid - self._at_warm


def _judged(model: Any, vocabulary: int, shrink: int) -> Any:
    """The loss on the judged rows; None where Unsloth's patched model refuses a plain row."""
    try:
        return work.judged(model, vocabulary, shrink)
    except Exception as error:
        print(f"not judged: {error}", flush=True)
        return None
