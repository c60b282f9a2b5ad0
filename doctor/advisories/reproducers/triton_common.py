"""A module that libraries of triton 2's time import."""

import importlib

from _verdict import raises

raises(lambda: importlib.import_module("triton.common.build").__name__, r"No module named 'triton\.common'")
