"""A compiled library that needs a newer libstdc++ than the one that is loaded."""

import ctypes

from _newer_need import newer_need
from _verdict import raises

file = newer_need(b"GLIBCXX_3.4.11", b"GLIBCXX_3.4.99")
raises(
    lambda: ctypes.CDLL(file)._name,
    r"libstdc\+\+\.so\.6: version `GLIBCXX_3\.4\.99' not found \(required by ",
)
