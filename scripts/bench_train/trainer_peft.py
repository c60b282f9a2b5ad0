"""The peers that everybody starts from: transformers' Trainer and peft, as released, on padded rows.

Words of a recipe: quantization=none|8bit|4bit, dtype=bf16|fp16, targets=a,b, dropout=X.
"""

import tempfile
from pathlib import Path
from typing import Any, Dict, List

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig, Trainer, TrainingArguments, set_seed

from bench_train import made, marks, matmul, work
from bench_train.recipes import ALL, ALPHA, RATE, SEED, Recipe
from bench_train.shapes import SHAPES, Shape

PAD_TO = 8


class Measurer:
    """Runs recipes in this process."""

    def __init__(self, place: Path, shrink: int) -> None:
        self.place, self.shrink = place, shrink

    def __call__(self, recipe: Recipe) -> Dict[str, Any]:
        words = dict(word.split("=", 1) for word in recipe.words)
        shape, mark = SHAPES[recipe.shape], marks.Marks(recipe.warm, recipe.timed)
        dtype = torch.float16 if words.get("dtype") == "fp16" else torch.bfloat16
        model = _model(shape, dtype, words, recipe.r)
        before = work.judged(model, shape.vocabulary, self.shrink)
        rows = work.rows(recipe.rows * mark.steps, shape.vocabulary, recipe.fixed, self.shrink)
        losses = marks.Losses(mark.steps)
        with tempfile.TemporaryDirectory(dir=str(self.place)) as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=recipe.rows,
                max_steps=mark.steps,
                learning_rate=RATE,
                lr_scheduler_type="constant",
                bf16=dtype == torch.bfloat16,
                fp16=dtype == torch.float16,
                logging_steps=1000,
                save_strategy="no",
                report_to=[],
                remove_unused_columns=False,
                seed=SEED,
                use_cpu=matmul.device().type == "cpu",
            )
            trainer = Trainer(
                model=model,
                args=arguments,
                train_dataset=[{"ids": row} for row in rows],
                data_collator=pad,
                callbacks=[mark, losses],
            )
            trainer._get_train_sampler = lambda *_, **__: torch.utils.data.SequentialSampler(rows)  # type: ignore[method-assign]
            marks.begin()
            trainer.train()
        timed = rows[recipe.warm * recipe.rows :]
        return {
            **mark.result,
            "tokens": sum(map(len, timed)),
            "losses": [losses.seen[0], losses.seen[-1]],
            "judged": [before, work.judged(model, shape.vocabulary, self.shrink)],
        }


def _model(shape: Shape, dtype: torch.dtype, words: Dict[str, str], r: int) -> Any:
    """The base, prepared as the recipes say, with its adapter; checkpointing is on."""
    kind = words.get("quantization", "none")
    quantized = None
    if kind != "none":
        quantized = BitsAndBytesConfig(
            load_in_8bit=kind == "8bit",
            load_in_4bit=kind == "4bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    model = made.load(shape, matmul.device(), dtype=dtype, quantization_config=quantized)
    model.config.use_cache = False
    again = {"use_reentrant": False}
    if quantized:
        model = prepare_model_for_kbit_training(model, True, again)
    else:
        model.gradient_checkpointing_enable(again)
        model.enable_input_require_grads()
    set_seed(SEED)
    adapter = LoraConfig(
        task_type="CAUSAL_LM",
        r=r,
        lora_alpha=ALPHA,
        lora_dropout=float(words.get("dropout", 0)),
        target_modules=words.get("targets", ALL).split(","),
    )
    return get_peft_model(model, adapter)


def pad(rows: List[Dict[str, List[int]]]) -> Dict[str, torch.Tensor]:
    """A batch filled up to its longest row, and to a multiple of eight."""
    longest = max(len(row["ids"]) for row in rows)
    shape = (len(rows), -(-longest // PAD_TO) * PAD_TO)
    ids, seen = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    labels = torch.full(shape, -100, dtype=torch.int64)
    for place, row in enumerate(rows):
        length = len(row["ids"])
        ids[place, :length] = labels[place, :length] = torch.tensor(row["ids"])
        seen[place, :length] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": seen}
