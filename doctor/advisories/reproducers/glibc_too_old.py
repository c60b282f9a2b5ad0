"""A compiled library that needs a newer glibc than the system's is loaded."""

import ctypes

from _newer_need import newer_need
from _verdict import raises

file = newer_need(b"GLIBC_2.3.4", b"GLIBC_2.999")
raises(lambda: ctypes.CDLL(file)._name, r"libc\.so\.6: version `GLIBC_2\.999' not found \(required by ")
