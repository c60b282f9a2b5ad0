"""A model's folder with a configuration of its own, loaded as trust_remote_code loads it."""

import json
from pathlib import Path


def load(code: str) -> str:
    """The name of the class that comes out. `code` is the folder's configuration_own.py, and defines OwnConfig."""
    Path("model").mkdir()
    Path("model/configuration_own.py").write_text(code)
    Path("model/config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}})
    )
    from transformers import AutoConfig

    return type(AutoConfig.from_pretrained("model", trust_remote_code=True)).__name__
