"""peft's optimizer for LoRA+ imports ALL_LAYERNORM_LAYERS, which later transformers have not."""

import importlib

from _verdict import raises

raises(lambda: importlib.import_module("peft.optimizers.loraplus").__name__, r"from 'transformers\.\w+'")
