"""The cache's get_usable_length, as DeepSeek's and Phi-3's own code call it."""

from _verdict import raises


def read():
    from transformers import DynamicCache

    return DynamicCache().get_usable_length(4)


raises(read, "has no attribute 'get_usable_length'")
