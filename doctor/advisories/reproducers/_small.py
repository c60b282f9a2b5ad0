"""What the reproducers of library faults share: the probes' tiny models, a LoRA over one, a Trainer of two steps."""

import inspect
import sys
from pathlib import Path
from typing import Any, Optional

sys.path.append(str(Path(__file__).resolve().parents[2] / "probes"))

from _tiny import llama

__all__ = ["llama", "lora", "trainer"]


def lora(model: Any = None, **settings: Any) -> Any:
    """A tiny LLaMA with a LoRA on two projections, or on what `settings` says."""
    from peft import LoraConfig, get_peft_model

    chosen = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "task_type": "CAUSAL_LM"}
    chosen.update(target_modules=["q_proj", "v_proj"])
    chosen.update(settings)
    return get_peft_model(llama() if model is None else model, LoraConfig(**chosen))


def trainer(
    model: Any, folder: str = "out", cls: Optional[Any] = None, more: Any = None, **arguments: Any
) -> Any:
    """A Trainer on the CPU over four rows of eight tokens, two steps, saved at the second; nothing is printed."""
    import torch
    from transformers import Trainer, TrainingArguments

    known = inspect.signature(TrainingArguments.__init__).parameters
    chosen = {"output_dir": folder, "max_steps": 2, "per_device_train_batch_size": 2, "save_steps": 2}
    chosen.update(report_to=[], logging_steps=1, disable_tqdm=True)
    chosen["use_cpu" if "use_cpu" in known else "no_cuda"] = True
    chosen.update(arguments)
    rows = [{"input_ids": torch.arange(1, 9), "labels": torch.arange(1, 9)} for _ in range(8)]
    return (cls or Trainer)(model=model, args=TrainingArguments(**chosen), train_dataset=rows, **(more or {}))
