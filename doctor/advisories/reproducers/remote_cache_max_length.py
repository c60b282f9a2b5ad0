"""The cache's get_max_length, as DeepSeek's and MiniCPM's own code call it."""

from _verdict import raises


def read():
    from transformers import DynamicCache

    return DynamicCache().get_max_length()


raises(read, "has no attribute 'get_max_length'")
