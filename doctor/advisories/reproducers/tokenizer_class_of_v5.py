"""A folder that transformers 5 saved: tokenizer_config.json names a class that only it has."""

import json
from pathlib import Path

from _verdict import raises


def load():
    from tokenizers import Tokenizer, models

    Path("model").mkdir()
    Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>")).save("model/tokenizer.json")
    Path("model/tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "TokenizersBackend"}))
    from transformers import AutoTokenizer

    return type(AutoTokenizer.from_pretrained("model")).__name__


raises(load, "Tokenizer class TokenizersBackend does not exist")
