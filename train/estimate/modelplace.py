"""Where the model of an estimate is: a folder with a config.json and perhaps nothing else, or that file itself."""

from pathlib import Path
from typing import Any, Dict

from envdoc.train.config import TINY, Model
from envdoc.train.errors import ModelError
from envdoc.train.estimate.shape import Shape, read_shape, shape_of

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "ice_text.model")
# What train/tiny.py makes; its vocabulary is at most that.
TINY_CONFIG: Dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "tie_word_embeddings": False,
}


def config_path(model: Model) -> Path:
    """The folder or the file that `model.path` names. Raises ModelError where there is neither."""
    path = Path(model.path).expanduser().absolute()
    if path.exists():
        return path
    raise ModelError(
        f"There is no `{model.path}`.",
        "Name a folder with a config.json, or that file: weights are not needed for an estimate.",
    )


def shape(model: Model) -> Shape:
    """The model's shape. Raises ModelError."""
    return shape_of(TINY_CONFIG) if model.path == TINY else read_shape(config_path(model))


def has_tokenizer(model: Model) -> bool:
    """True where the model's folder holds a tokenizer's files."""
    path = config_path(model)
    folder = path if path.is_dir() else path.parent
    return any((folder / name).is_file() for name in TOKENIZERS)
