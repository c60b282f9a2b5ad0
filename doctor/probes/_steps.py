"""In which order the fork server (`_server.py`) imports the libraries, and where it forks which probe."""

# mypy: disable-error-code="import-not-found"

from typing import Any, Tuple

from library_imports import NAMES

LLAMA = ("LlamaForCausalLM", "GPT2LMHeadModel", "GPTNeoXForCausalLM")  # what _tiny builds

# ("import", module, names) is told to the runner, and ends everything where it fails; ("warm", ...) is neither.
# ("aside", steps) takes these in a process of its own from there on; ("hear", module) waits for an import there.
# A module is told at its last step. torch comes first: five of the six probes need it, and it is the likeliest to be
# broken. transformers comes in two steps, since its tokenizers are there long before its Trainer.
ALL: Tuple[Tuple[Any, ...], ...] = (
    ("import", "torch", ()),
    ("fork", "torch_runs"),
    ("import", "safetensors", NAMES["safetensors"]),
    ("import", "tokenizers", NAMES["tokenizers"]),
    ("import", "datasets", NAMES["datasets"]),
    ("import", "accelerate", NAMES["accelerate"]),
    ("import", "transformers", NAMES["transformers"][:-1]),
    ("fork", "llama_tokenizer"),
    ("import", "transformers", NAMES["transformers"][-1:]),
    ("import", "peft", NAMES["peft"]),
    ("warm", "transformers", LLAMA),
    ("fork", "lora_two_steps"),
    ("fork", "adapter_save"),
    ("fork", "fan_in_fan_out"),
    ("import", "bitsandbytes", NAMES["bitsandbytes"]),
    ("fork", "bitsandbytes_runs"),
)
# bitsandbytes initialises CUDA when it is imported, and peft imports it, and transformers' Trainer peft: no fork could
# use the GPU after that. So it is hidden once its own probe is forked; the two LoRA steps have a base of 32 bits.
GPU: Tuple[Tuple[Any, ...], ...] = (
    ("import", "torch", ()),
    ("fork", "torch_runs"),
    ("fork", "bitsandbytes_runs"),
    ("hide", "bitsandbytes"),
    ("import", "accelerate", NAMES["accelerate"]),
    ("import", "transformers", NAMES["transformers"]),
    ("import", "peft", NAMES["peft"]),
    ("warm", "transformers", LLAMA[:1]),
    ("fork", "lora_two_steps"),
)
# A new environment on a machine without GPUs: the imports are all that takes time. They go straight to the two steps,
# with bitsandbytes and datasets hidden, which those do without. datasets goes on aside while transformers is imported,
# and bitsandbytes while its Trainer is; what both of these take from torch comes before that. bitsandbytes is imported
# once more while the two steps run, and then peft, with bitsandbytes there.
NEW: Tuple[Tuple[Any, ...], ...] = (
    ("import", "torch", ()),
    ("fork", "torch_runs"),
    ("aside", (("import", "datasets", NAMES["datasets"]),)),
    ("hide", "datasets"),
    ("warm", "torch._dynamo", ()),
    ("aside", (("import", "bitsandbytes", NAMES["bitsandbytes"]), ("fork", "bitsandbytes_runs"))),
    ("hide", "bitsandbytes"),
    ("import", "safetensors", NAMES["safetensors"]),
    ("import", "tokenizers", NAMES["tokenizers"]),
    ("import", "accelerate", NAMES["accelerate"]),
    ("import", "transformers", NAMES["transformers"][:-1]),
    ("fork", "llama_tokenizer"),
    ("import", "transformers", NAMES["transformers"][-1:]),
    ("import", "peft", NAMES["peft"]),
    ("warm", "transformers", LLAMA[:1]),
    ("fork", "lora_two_steps"),
    ("fork", "adapter_save"),
    ("fork", "fan_in_fan_out"),
    ("hear", "bitsandbytes"),
    ("hear", "datasets"),
    ("forget", "bitsandbytes"),
    ("forget", "peft"),
    ("import", "peft", NAMES["peft"]),
)
STEPS = {"all": ALL, "gpu": GPU, "new": NEW}
