"""Is a model folder with code of its own refused without trust_remote_code? With it, it must load."""

import json
from pathlib import Path

from _verdict import finish
from transformers import AutoConfig

folder = Path("model")
folder.mkdir()
(folder / "config.json").write_text(
    json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}})
)
(folder / "configuration_own.py").write_text(
    "from transformers import PretrainedConfig\n\n\nclass OwnConfig(PretrainedConfig):\n    model_type = 'own'\n"
)
assert "own" == AutoConfig.from_pretrained("./model", trust_remote_code=True).model_type
try:
    AutoConfig.from_pretrained("./model", trust_remote_code=False)
except ValueError as error:
    finish("trust_remote_code=True" in str(error), str(error))
finish(False, "it was loaded")
