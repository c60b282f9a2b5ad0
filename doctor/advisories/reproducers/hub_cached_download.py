"""cached_download of huggingface_hub, which diffusers below 0.28 and many scripts import."""

from _verdict import raises


def imported():
    from huggingface_hub import cached_download

    return cached_download.__name__


raises(imported, "cannot import name 'cached_download' from 'huggingface_hub'")
