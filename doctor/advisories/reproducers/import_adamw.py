"""from transformers import AdamW."""

from _verdict import raises


def imported():
    from transformers import AdamW

    return AdamW.__name__


raises(imported, "cannot import name 'AdamW' from 'transformers'")
