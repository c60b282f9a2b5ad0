"""import peft over an older accelerate."""

from _verdict import raises

raises(lambda: __import__("peft").__version__, r"cannot import name '\w+' from 'accelerate")
