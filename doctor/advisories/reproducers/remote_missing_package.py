"""Code that came with a model imports a package that is not there; run as trust_remote_code runs it."""

from _remote_code import load
from _verdict import raises

CODE = """
import einops
from transformers import PretrainedConfig

class OwnConfig(PretrainedConfig):
    model_type = "own"
"""


raises(lambda: load(CODE), "packages that were not found in your environment")
