"""A C++ extension is loaded where no ninja is on PATH."""

import os

from _verdict import raises

os.environ["PATH"] = os.getcwd()

from torch.utils import cpp_extension

raises(cpp_extension.verify_ninja_availability, r"Ninja is required to load C\+\+ extensions")
