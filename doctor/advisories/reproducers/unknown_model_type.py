"""A config.json whose model_type is newer than the release: Qwen3 of April 2025."""

import json
from pathlib import Path

from _verdict import raises


def load():
    Path("model").mkdir()
    Path("model/config.json").write_text(
        json.dumps({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]})
    )
    from transformers import AutoConfig

    return type(AutoConfig.from_pretrained("model")).__name__


raises(load, "does not recognize this architecture|KeyError: 'qwen3'")
