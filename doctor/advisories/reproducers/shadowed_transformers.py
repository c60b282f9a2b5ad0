"""adapter-transformers has a folder called transformers, too: what is imported is its old copy."""

from _verdict import raises


def imported():
    from transformers.utils import check_peft_version

    return check_peft_version.__name__


raises(imported, "cannot import name 'check_peft_version' from 'transformers.utils'")
