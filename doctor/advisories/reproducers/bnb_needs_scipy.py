"""import bitsandbytes where scipy is not installed."""

from _verdict import raises

raises(lambda: __import__("bitsandbytes").__name__, "No module named 'scipy'")
