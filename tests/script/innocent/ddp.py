import os

import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

device_map = "auto"
world = int(os.environ.get("WORLD_SIZE", 1))
if world != 1:
    device_map = {"": int(os.environ.get("LOCAL_RANK") or 0)}
model = AutoModelForCausalLM.from_pretrained("a/b", device_map=device_map, dtype=torch.bfloat16)
args = TrainingArguments("out", ddp_find_unused_parameters=False if world > 1 else None, bf16=True)
Trainer(model=model, args=args, train_dataset=[]).train()
if dist.is_initialized():
    dist.destroy_process_group()
