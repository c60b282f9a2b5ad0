"""2c: does the Trainer's checkpoint-N of a peft model hold an adapter file?"""

from pathlib import Path

import _borrowed  # noqa: F401
import torch
from _adapter import fresh
from _verdict import finish
from transformers import Trainer, TrainingArguments

row = {"input_ids": torch.arange(1, 9), "labels": torch.arange(1, 9)}
arguments = TrainingArguments(
    output_dir="out",
    max_steps=1,
    save_steps=1,
    per_device_train_batch_size=1,
    report_to=[],
    disable_tqdm=True,
)
Trainer(model=fresh(), args=arguments, train_dataset=[row] * 2).train()
names = sorted(path.name for path in Path("out", "checkpoint-1").iterdir())
finish(not any(name.startswith("adapter_model") for name in names), f"checkpoint-1 holds {', '.join(names)}")
