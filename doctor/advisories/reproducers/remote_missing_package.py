"""Code that came with a model imports a package that is not there; run as trust_remote_code runs it."""

import json
from pathlib import Path

from _verdict import raises

CODE = """
import einops
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "own"
"""


def load():
    Path("model").mkdir()
    Path("model/configuration_own.py").write_text(CODE)
    Path("model/config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}})
    )
    from transformers import AutoConfig

    return type(AutoConfig.from_pretrained("model", trust_remote_code=True)).__name__


raises(load, "packages that were not found in your environment")
