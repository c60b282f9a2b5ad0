"""Run in the patient: `make ROOT` saves the adapter of a tiny Llama in several ways, `ask ROOT ADAPTER` loads one."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "doctor" / "probes"))

import _tiny
import torch
from peft import PeftModel, get_peft_model_state_dict

TARGETS = ["q_proj", "v_proj"]


def train(model):
    """Three steps, after which the adapter clearly moves the logits."""
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-2)
    for _ in range(3):
        model(input_ids=_tiny.tokens(), labels=_tiny.tokens()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def make(root):
    """fresh, plain, modified (the seed's ModifiedTrainer), legacy, transposed, override, code."""
    model = _tiny.lora(_tiny.llama(), TARGETS)
    model.base_model.model.config._name_or_path = "org/tiny"
    model.save_pretrained(str(root / "fresh"))
    train(model)
    model.save_pretrained(str(root / "plain"))
    torch.save({"tuned": _tiny.logits(model), "base": _tiny.logits(_tiny.llama())}, str(root / "logits.pt"))
    named = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    saved = {name.replace(".default", ""): tensor for name, tensor in named.items()}
    like_plain(root, "modified", named)
    like_plain(root, "old-names", saved)
    like_plain(root, "legacy", saved, _use_new_zipfile_serialization=False)
    like_plain(root, "legacy-modified", named, _use_new_zipfile_serialization=False)
    like_plain(root, "transposed", {name: t.t().contiguous().t() for name, t in saved.items()})
    like_plain(root, "parameters", {name: torch.nn.Parameter(t) for name, t in saved.items()})
    like_plain(root, "code", {**saved, "x": Path.exists})
    whole = model.state_dict
    model.state_dict = (lambda self, *_, **__: get_peft_model_state_dict(self, whole())).__get__(model)
    model.save_pretrained(str(root / "override"))


def like_plain(root, name, tensors, **options):
    """The folder of `plain` with a .bin of those tensors instead of its weights."""
    shutil.copytree(str(root / "plain"), str(root / name))
    for path in (root / name).glob("adapter_model*"):
        path.unlink()
    torch.save(tensors, str(root / name / "adapter_model.bin"), **options)


def ask(root, folder):
    """Prints whose logits the model has that is loaded from the folder."""
    known = torch.load(str(root / "logits.pt"), weights_only=True)
    found = _tiny.logits(PeftModel.from_pretrained(_tiny.llama(), str(folder)))
    print(next((name for name in known if torch.allclose(found, known[name], atol=1e-4)), "neither"))


if __name__ == "__main__":
    {"make": make, "ask": ask}[sys.argv[1]](*map(Path, sys.argv[2:]))
