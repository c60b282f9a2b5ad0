"""A config.json of Llama 3.1, whose rope_scaling has five fields."""

import json
from pathlib import Path

from _verdict import raises

SCALING = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def load():
    Path("model").mkdir()
    Path("model/config.json").write_text(json.dumps({"model_type": "llama", "rope_scaling": SCALING}))
    from transformers import AutoConfig

    return type(AutoConfig.from_pretrained("model")).__name__


raises(load, "must be a dictionary with (?:with )?two fields")
