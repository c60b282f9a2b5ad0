"""What huggingface_hub 1.0 has taken away: HfFolder and Repository."""

from _verdict import raises


def imported():
    from huggingface_hub import HfFolder

    return HfFolder.__name__


raises(imported, "cannot import name 'HfFolder' from 'huggingface_hub'")
