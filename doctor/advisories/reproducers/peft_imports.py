"""import peft: it imports names of transformers that another release does not have."""

from _verdict import raises

raises(lambda: __import__("peft").__version__, r"from 'transformers|No module named 'transformers\.")
