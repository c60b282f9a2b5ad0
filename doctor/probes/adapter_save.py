"""Is what was trained what is saved? The three ways in which the scripts of 2023 write an adapter.

A case trains the same tiny Llama with LoRA for three steps, saves the adapter in its way, and loads that onto a new
base. It counts tensors and compares logits: the same empty adapter is 443, 1297 or 40 bytes, so size says nothing.
"""

# mypy: disable-error-code="import-not-found"

from pathlib import Path
from typing import Any, Dict, Optional

import _tiny
from _probe import FOLDER, at, attempt, finish, require, versions

require("torch", "transformers", "peft")
at("importing peft")
import torch  # noqa: E402
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict  # noqa: E402

TOLERANCE = 1e-4


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


def adapter_file(folder: Path) -> Optional[Path]:
    """The file that from_pretrained will read, or None: peft prefers safetensors."""
    files = sorted(folder.glob("adapter_model*"), key=lambda path: path.suffix != ".safetensors")
    return files[0] if files else None


def tensors(path: Path) -> Any:
    """The tensors of an adapter file by key."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    return torch.load(str(path), map_location="cpu", weights_only=True)


def observed(folder: Path, trained: Any) -> Dict[str, Any]:
    """What is in the file, and whose logits the model has that was loaded from it."""
    path = adapter_file(folder)
    if path is None:
        return {"file": None, "tensors": 0, "files": sorted(p.name for p in folder.iterdir())}
    reloaded = _tiny.logits(PeftModel.from_pretrained(_tiny.llama(), str(folder)))
    return {
        "file": path.name,
        "tensors": len(tensors(path)),
        "reload_is_trained": torch.allclose(reloaded, trained, atol=TOLERANCE),
        "reload_is_base": torch.allclose(reloaded, _tiny.logits(_tiny.llama()), atol=TOLERANCE),
    }


def plain_save() -> Dict[str, Any]:
    """model.save_pretrained: the ordinary way."""
    model = fresh()
    trained = train(model)
    model.save_pretrained(str(PLAIN))
    return observed(PLAIN, trained)


def state_dict_override() -> Dict[str, Any]:
    """alpaca-lora's finetune.py: state_dict is replaced by the adapter's own, which save_pretrained filters again."""
    model = fresh()
    whole = model.state_dict
    model.state_dict = (lambda self, *_, **__: get_peft_model_state_dict(self, whole())).__get__(model)
    trained = train(model)
    folder = Path(FOLDER, "override")
    model.save_pretrained(str(folder))
    return observed(folder, trained)


def modified_trainer() -> Dict[str, Any]:
    """ChatGLM-Tuning's ModifiedTrainer.save_model: the trainable parameters by their own names, as a .bin."""
    model = fresh()
    trained = train(model)
    folder = Path(FOLDER, "modified")
    model.save_pretrained(str(folder))  # for adapter_config.json
    for path in folder.glob("adapter_model*"):
        path.unlink()
    trainable = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    torch.save(trainable, str(folder / "adapter_model.bin"))
    return observed(folder, trained)


def resume() -> Dict[str, Any]:
    """alpaca-lora's resume: the saved tensors go into a new model by set_peft_model_state_dict."""
    model, path = fresh(), adapter_file(PLAIN)
    if path is None:
        raise FileNotFoundError("save_pretrained wrote no adapter_model file")
    set_peft_model_state_dict(model, tensors(path))
    resumed, base = _tiny.logits(model), _tiny.logits(_tiny.llama())
    loaded = _tiny.logits(PeftModel.from_pretrained(_tiny.llama(), str(PLAIN)))
    return {
        "resume_is_trained": torch.allclose(resumed, loaded, atol=TOLERANCE),
        "resume_is_base": torch.allclose(resumed, base, atol=TOLERANCE),
    }


def trainable_by_default() -> Dict[str, Any]:
    """How many tensors train after from_pretrained: none since peft 0.3, unless is_trainable=True is given."""
    model = PeftModel.from_pretrained(_tiny.llama(), str(PLAIN))
    return {"trainable_tensors": sum(1 for p in model.parameters() if p.requires_grad)}


PLAIN = Path(FOLDER, "plain")
CASES = (plain_save, state_dict_override, modified_trainer, resume, trainable_by_default)
finish(
    {
        "versions": versions("torch", "transformers", "peft", "accelerate", "safetensors"),
        "cases": {case.__name__: attempt(case) for case in CASES},
    }
)
