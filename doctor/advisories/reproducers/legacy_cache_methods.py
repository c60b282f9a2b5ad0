"""DynamicCache.to_legacy_cache and from_legacy_cache, as scripts of 2024 call them."""

from _verdict import raises


def call():
    from transformers import DynamicCache

    cache = DynamicCache()
    return cache.to_legacy_cache()


raises(call, "has no attribute '(?:to|from)_legacy_cache'")
