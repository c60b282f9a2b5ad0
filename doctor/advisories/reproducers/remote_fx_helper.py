"""Code that came with a model imports a helper that transformers 5 has dropped; run as trust_remote_code runs it."""

from _remote_code import load
from _verdict import raises

CODE = """
from transformers import PretrainedConfig
from transformers.utils.import_utils import is_torch_fx_available

class OwnConfig(PretrainedConfig):
    model_type = "own"
"""


raises(lambda: load(CODE), "cannot import name 'is_torch_fx_available'")
