"""LoRA training in the two ways that save memory: with gradient checkpointing, and over a 4-bit base on a GPU.

Checkpointing must change no gradient. Over the 4-bit base two steps are trained with the paged 8-bit optimiser where
there is one; the adapter is saved, loaded on the same base, and compared.
"""

# mypy: disable-error-code="import-not-found"

import os
from pathlib import Path
from typing import Any, Dict

from _probe import FOLDER, at, attempt, finish, finite, require, version_of, versions

os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]

require("torch", "transformers", "peft", "accelerate")
at("importing torch")
import torch  # noqa: E402

at("importing peft")
import _tiny  # noqa: E402
from peft import PeftModel  # noqa: E402

HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"
TARGETS = ["q_proj", "v_proj"]


def gradients(checkpointing: bool) -> Dict[str, Any]:
    """The gradients of the LoRA matrices after one backward pass, and the loss."""
    model = _tiny.lora(_tiny.llama(), TARGETS).to(DEVICE)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:  # B starts at zero, which would hide the gradients of A
                parameter.normal_(std=0.1)
    if checkpointing:
        # renamed in transformers 5, where the old name goes in 6
        (getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable)()
        model.enable_input_require_grads()
    model.train()
    tokens = _tiny.tokens().to(DEVICE)
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    lora = {name: p.grad for name, p in model.named_parameters() if "lora_" in name}
    return {"loss": float(loss.detach()), "lora": lora}


def checkpointing() -> Dict[str, Any]:
    """The largest difference that checkpointing makes to a gradient, relative to the largest gradient."""
    plain, saving = gradients(False)["lora"], gradients(True)["lora"]
    missing = [name for name, gradient in saving.items() if gradient is None]
    if missing:
        return {"tensors": len(saving), "without_gradient": len(missing)}
    largest = max(float(gradient.abs().max()) for gradient in plain.values())
    apart = max(float((saving[name] - plain[name]).abs().max()) for name in plain)
    return {"tensors": len(saving), "without_gradient": 0, "relative_error": finite(apart / largest)}


def four_bit_base() -> Any:
    """The tiny Llama of width 64, loaded in nf4 with two levels of scales as QLoRA does."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    folder = Path(FOLDER, "base")
    if not folder.exists():
        _tiny.llama(64).save_pretrained(str(folder))
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float16,
    )
    return AutoModelForCausalLM.from_pretrained(str(folder), quantization_config=config, device_map={"": 0})


def four_bit() -> Dict[str, Any]:
    """Two steps over the 4-bit base."""
    if not HAS_GPU:
        return {"skipped": "torch sees no GPU"}
    if version_of("bitsandbytes") is None:
        return {"skipped": "bitsandbytes is not installed"}
    import bitsandbytes
    from peft import prepare_model_for_kbit_training

    at("loading a 4-bit base")
    base = four_bit_base()
    quantised = sum(1 for m in base.modules() if isinstance(m, bitsandbytes.nn.Linear4bit))
    model = _tiny.lora(prepare_model_for_kbit_training(base), TARGETS)
    trainable = [p for p in model.parameters() if p.requires_grad]
    make = getattr(bitsandbytes.optim, "PagedAdamW8bit", torch.optim.AdamW)
    optimizer = make(trainable, lr=5e-2)
    tokens, losses = _tiny.tokens().to(DEVICE), []
    before = _tiny.logits(model)
    model.train()
    for _ in range(2):
        at("training over a 4-bit base")
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        losses.append(finite(float(loss.detach())))
        without = sum(1 for p in trainable if p.grad is None)
        optimizer.step()
        optimizer.zero_grad()
    trained = _tiny.logits(model)
    folder = str(Path(FOLDER, "adapter"))
    model.save_pretrained(folder)
    at("loading the adapter onto a 4-bit base")
    reloaded = _tiny.logits(
        PeftModel.from_pretrained(prepare_model_for_kbit_training(four_bit_base()), folder)
    )
    largest = trained.float().abs().max()
    return {
        "quantised_layers": quantised,
        "losses": losses,
        "without_gradient": without,
        "optimizer": type(optimizer).__name__,
        "moved": finite(float((trained.float() - before.float()).abs().max() / largest)),
        "reload_error": finite(float((reloaded.float() - trained.float()).abs().max() / largest)),
    }


CASES = (checkpointing, four_bit)
finish(
    {
        "versions": versions("torch", "transformers", "peft", "accelerate", "bitsandbytes"),
        "device": DEVICE,
        "cases": {case.__name__: attempt(case) for case in CASES},
    }
)
