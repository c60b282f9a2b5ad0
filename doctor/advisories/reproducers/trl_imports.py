"""from trl import SFTTrainer: it imports names of transformers that another release does not have."""

from _verdict import raises


def imported():
    from trl import SFTTrainer

    return SFTTrainer.__name__


raises(imported, r"cannot import name '\w+' from 'transformers")
