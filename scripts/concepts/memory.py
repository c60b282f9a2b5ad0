"""Where the GPU's memory goes, with each switch on and off: one update of LoRA on a 1B-shaped Llama of random weights.

usage: memory.py OUT.json [--tiny]       in an environment that envdoc trains in, with a GPU
"""

import json
import runpy
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import torch

LAUNCH = Path(__file__).resolve().parents[2] / "train/launch.py"
# Llama-3.2-1B's shape (its config.json): a large vocabulary on a small model, so that logits show.
SHAPE = {
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
TINY = {**SHAPE, "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
TINY = {**TINY, "num_attention_heads": 4, "num_key_value_heads": 2}
ROWS, LENGTH = 4, 512


def switches() -> List[Dict[str, Any]]:
    """Each run, by what differs from the one before it or from the first."""
    start = {"dtype": "bf16", "quantization": "none", "preparation": "full", "checkpointing": False}
    return [
        {"name": "fp32 base", **start, "dtype": "fp32"},
        {"name": "bf16 base", **start},
        {"name": "8-bit base", **start, "quantization": "8bit"},
        {"name": "4-bit base", **start, "quantization": "4bit"},
        {"name": "4-bit base, lean", **start, "quantization": "4bit", "preparation": "lean"},
        {"name": "bf16 base, checkpointing", **start, "checkpointing": True},
        {
            "name": "4-bit base, lean, checkpointing",
            **start,
            "quantization": "4bit",
            "preparation": "lean",
            "checkpointing": True,
        },
    ]


def measure(folder: Path, switch: Dict[str, Any]) -> Dict[str, Any]:
    """Bytes of one update: what the weights, the adapter and its optimizer keep, and what a pass adds at its peak."""
    from envdoc.train import adapters
    from envdoc.train import model as models
    from envdoc.train.config import Model, Run, Train

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", 0) if gpu else torch.device("cpu")
    settings = Model(
        path=str(folder),
        dtype=switch["dtype"],
        quantization=switch["quantization"],
        preparation=switch["preparation"],
    )
    run = Run(model=settings, train=Train(gradient_checkpointing=switch["checkpointing"]))
    run = replace(run, lora=replace(run.lora, r=8, dropout=0.0, targets="all"))

    def now() -> int:
        return int(torch.cuda.memory_allocated()) if gpu else 0

    def peak() -> int:
        return int(torch.cuda.max_memory_allocated()) if gpu else 0

    before = now()
    base = models.load_base(folder, settings, models.Precision(device, switch["dtype"]))
    weights = now() - before
    model = adapters.lay_adapter(base, run)
    prepared = now() - before - weights
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    torch.manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (ROWS, LENGTH), device=device)
    for _ in range(2):  # the second one has the optimizer's state and every library's workspace
        optimizer.zero_grad(set_to_none=True)
        still = now()
        if gpu:
            torch.cuda.reset_peak_memory_stats()
        with torch.autocast(device.type, torch.bfloat16, enabled=switch["dtype"] == "bf16"):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        kept = now() - still - logits.numel() * logits.element_size()
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].reshape(-1, logits.shape[-1]).float(), ids[:, 1:].reshape(-1)
        )
        loss.backward()
        del logits, loss
        highest = peak()
        optimizer.step()
    states = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value) and value.device == device
    )
    adapter = sum(parameter.numel() * 8 for parameter in trained)  # fp32 weights and fp32 gradients
    found = {
        **switch,
        "weights_bytes": weights + prepared - sum(parameter.numel() * 4 for parameter in trained),
        "adapter_bytes": adapter + states,
        "activations_bytes": kept,
        "peak_bytes": highest - before,
    }
    del model, base, optimizer, trained
    import gc

    gc.collect()
    if gpu:
        torch.cuda.empty_cache()
    return found


def main(out: Path, shape: Dict[str, int]) -> None:
    """Make the base, measure every switch, write."""
    launch = runpy.run_path(str(LAUNCH))
    launch["prepare_process"]()
    launch["make_importable"]()
    from transformers import LlamaConfig, LlamaForCausalLM

    from envdoc.train.libraries import load_libraries

    load_libraries()
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        base = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True)).to(torch.bfloat16)
        base.save_pretrained(scratch)
        del base
        runs = []
        for switch in switches():
            runs.append(measure(Path(scratch), switch))
            print(
                {
                    key: f"{value / 2**30:.2f}" if key.endswith("bytes") else value
                    for key, value in runs[-1].items()
                }
            )
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    told = {
        "versions": {"torch": torch.__version__, "device": device},
        "shape": {**shape, "rows": ROWS, "length": LENGTH},
    }
    out.write_text(json.dumps({**told, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), TINY if "--tiny" in sys.argv else SHAPE)
