"""A tiny LLaMA with LoRA, trained for three steps: what the reproducers of lost adapters have in common."""

from pathlib import Path
from typing import Any, Dict

import _borrowed  # noqa: F401
import _tiny  # of doctor/probes
import torch
from peft import PeftModel


def fresh() -> Any:
    return _tiny.lora(_tiny.llama(), ["q_proj", "v_proj"])


def train(model: Any, steps: int = 3) -> Any:
    """Train until the adapter clearly moves the logits, and return them."""
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-2)
    for _ in range(steps):
        model(input_ids=_tiny.tokens(), labels=_tiny.tokens()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return _tiny.logits(model)


def adapter_file(folder: Path) -> Path:
    """The file that from_pretrained will read: peft prefers safetensors."""
    return sorted(folder.glob("adapter_model*"), key=lambda path: path.suffix != ".safetensors")[0]


def tensors(path: Path) -> Dict[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    return torch.load(str(path), map_location="cpu", weights_only=True)


def is_trained(folder: Path, trained: Any) -> bool:
    """Whether a new base with the adapter of `folder` gives the trained logits."""
    reloaded = _tiny.logits(PeftModel.from_pretrained(_tiny.llama(), str(folder)))
    return torch.allclose(reloaded, trained, atol=1e-4)
