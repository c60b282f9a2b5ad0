"""A whole LoRA fine-tune in small: transformers' Trainer, two steps, save, load, compare.

It meets the couplings between transformers, accelerate and peft that no metadata declares: each shows only when the
Trainer is built and run. On the first visible GPU, or on the CPU.
"""

# mypy: disable-error-code="import-not-found"

import inspect
import os
from pathlib import Path
from typing import Any, Dict, List

from _probe import FOLDER, at, finish, finite, require, versions

# with several the Trainer would wrap the model in DataParallel
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]

require("torch", "transformers", "peft", "accelerate")
at("importing torch")
import torch  # noqa: E402

at("importing transformers' Trainer")
from transformers import Trainer, TrainingArguments  # noqa: E402

at("importing peft")
import _tiny  # noqa: E402
from peft import PeftModel  # noqa: E402

HAS_GPU = torch.cuda.is_available()


def arguments() -> Any:
    """Two steps, a checkpoint at the second, nothing reported anywhere."""
    known = inspect.signature(TrainingArguments.__init__).parameters
    options = {
        "output_dir": str(Path(FOLDER, "run")),
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "learning_rate": 5e-2,
        "save_steps": 2,
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
    }
    if not HAS_GPU:
        options["use_cpu" if "use_cpu" in known else "no_cuda"] = True  # renamed in transformers 4.34
    return TrainingArguments(**options)


def frozen(model: Any) -> Dict[str, Any]:
    """A copy of every tensor that training may not touch, by name."""
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if "lora_" not in name}


def watch_gradients(model: Any) -> Dict[str, float]:
    """Name -> the largest gradient that reaches that LoRA B matrix, kept up to date by hooks."""
    largest: Dict[str, float] = {}

    def hook(name: str) -> Any:
        def keep(gradient: Any) -> None:
            largest[name] = max(largest[name], float(gradient.detach().abs().max()))

        return keep

    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            largest[name] = 0.0
            parameter.register_hook(hook(name))
    return largest


def saved_tensors(folder: Path) -> int:
    """How many tensors the adapter file holds, whichever kind it is of."""
    files = sorted(folder.glob("adapter_model*"), key=lambda path: path.suffix != ".safetensors")
    if not files:
        return 0
    if files[0].suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(str(files[0]), "pt") as file:
            return len(file.keys())
    return len(torch.load(str(files[0]), map_location="cpu", weights_only=True))


at("building the model")
base = _tiny.logits(_tiny.llama())
model = _tiny.lora(_tiny.llama(), ["q_proj", "v_proj"])
example = _tiny.tokens()[0]
before, gradients = frozen(model), watch_gradients(model)

at("building the Trainer")
dataset = [{"input_ids": example, "labels": example} for _ in range(4)]
trainer = Trainer(model=model, args=arguments(), train_dataset=dataset)
at("training")
trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
after = frozen(model)
changed: List[str] = [name for name in before if not torch.equal(before[name], after[name])]

at("saving")
trained = _tiny.logits(model).cpu()
adapter = Path(FOLDER, "adapter")
model.save_pretrained(str(adapter))
at("loading")
reloaded = _tiny.logits(PeftModel.from_pretrained(_tiny.llama(), str(adapter)))

checkpoint = Path(FOLDER, "run", "checkpoint-2")
finish(
    {
        "versions": versions("torch", "transformers", "peft", "accelerate"),
        "device": "cuda" if HAS_GPU else "cpu",
        "losses": [finite(loss) for loss in losses],
        "frozen_changed": changed[:3],
        "targets": len(gradients),
        "without_gradient": [name for name, size in gradients.items() if not size > 0],
        "saved_tensors": saved_tensors(adapter),
        "steps": trainer.state.global_step,
        "trained_is_base": torch.allclose(trained, base, atol=1e-4),
        # on a GPU the two models run on different devices
        "reload_is_trained": torch.allclose(reloaded, trained, atol=1e-2 if HAS_GPU else 1e-4),
        "checkpoint_files": sorted(path.name for path in checkpoint.iterdir()),
    }
)
