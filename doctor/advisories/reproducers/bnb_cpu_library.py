"""bitsandbytes without a GPU loads its CPU library, and a function of the GPU library is not in it."""

import bitsandbytes.functional
from _verdict import raises

raises(
    lambda: bitsandbytes.functional.get_paged(2, 2),
    r"undefined symbol: cget_managed_ptr|not available in CPU-only version",
)
