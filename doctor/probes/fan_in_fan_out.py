"""Does LoRA on one fused or transposed layer move all of its output, and survive saving, loading and merging?

peft 0.1 and 0.2 took any single target for GPT-2's fused c_attn: the layer became a MergedLinear whose middle third
never trains, and GPT-2's own adapter could not be used after loading.
"""

# mypy: disable-error-code="import-not-found"

from pathlib import Path
from typing import Any, Dict

import _tiny
from _probe import FOLDER, at, attempt, finish, require, versions

require("torch", "transformers", "peft")
at("importing peft")
import torch  # noqa: E402
from peft import PeftModel  # noqa: E402


def randomise(model: Any, scale: float) -> None:
    """Give every lora_B values as if it had been trained; it starts as zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=scale)


def thirds_moved(model: Any, ending: str, width: int) -> Dict[str, Any]:
    """Which thirds of the output of the layer that is named so differ once its adapter is no longer zero."""
    layer = next(module for name, module in model.named_modules() if name.endswith(ending))
    torch.manual_seed(2)
    inputs = torch.randn(2, 5, width)
    model.eval()
    with torch.no_grad():
        before = layer(inputs).clone()
        randomise(layer, scale=1.0)
        after = layer(inputs)
    pairs = zip(before.chunk(3, -1), after.chunk(3, -1))
    return {
        "layer": type(layer).__name__,
        "thirds_moved": [bool((new - old).abs().max() > 1e-6) for old, new in pairs],
    }


def fused_linear() -> Dict[str, Any]:
    """target_modules=["query_key_value"], as for ChatGLM, BLOOM and GPT-NeoX."""
    model = _tiny.lora(_tiny.neox(), ["query_key_value"])
    return thirds_moved(model, "layers.0.attention.query_key_value", _tiny.WIDTH)


def single_linear() -> Dict[str, Any]:
    """target_modules=["q_proj"] of a width that three divides: nothing complains."""
    return thirds_moved(_tiny.lora(_tiny.llama(), ["q_proj"]), "layers.0.self_attn.q_proj", _tiny.WIDTH)


def single_linear_width_64() -> Dict[str, Any]:
    """target_modules=["q_proj"] of a usual width."""
    return thirds_moved(_tiny.lora(_tiny.llama(width=64), ["q_proj"]), "layers.0.self_attn.q_proj", 64)


def conv1d_reload() -> Dict[str, Any]:
    """GPT-2's c_attn with fan_in_fan_out=True: saved, loaded, and the same logits?"""
    model = _tiny.lora(_tiny.gpt2(), ["c_attn"], fan_in_fan_out=True)
    starts_as_base = torch.allclose(_tiny.logits(model), _tiny.logits(_tiny.gpt2()), atol=1e-5)
    randomise(model, scale=0.2)
    model.train(False)
    trained = _tiny.logits(model)
    folder = Path(FOLDER, "gpt2")
    model.save_pretrained(str(folder))
    reloaded = PeftModel.from_pretrained(_tiny.gpt2(), str(folder))
    return {
        "starts_as_base": starts_as_base,
        "reload_is_trained": torch.allclose(_tiny.logits(reloaded), trained, atol=1e-3),
    }


def conv1d_merge() -> Dict[str, Any]:
    """The same adapter merged into the base: the same logits? peft 0.3 refuses."""
    model = _tiny.lora(_tiny.gpt2(), ["c_attn"], fan_in_fan_out=True)
    randomise(model, scale=0.2)
    trained = _tiny.logits(model)
    return {"merge_is_trained": torch.allclose(_tiny.logits(model.merge_and_unload()), trained, atol=1e-3)}


CASES = (fused_linear, single_linear, single_linear_width_64, conv1d_reload, conv1d_merge)
finish(
    {
        "versions": versions("torch", "transformers", "peft"),
        "cases": {case.__name__: attempt(case) for case in CASES},
    }
)
