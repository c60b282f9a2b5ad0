"""The cache's attribute seen_tokens, as Phi-3's own code reads it."""

from _verdict import raises


def read():
    from transformers import DynamicCache

    return DynamicCache().seen_tokens


raises(read, "has no attribute 'seen_tokens'")
