"""from trl import SFTTrainer, DPOTrainer: it imports names of transformers that another release does not have."""

from _verdict import raises


def imported():
    from trl import DPOTrainer, SFTTrainer

    return SFTTrainer.__name__ + DPOTrainer.__name__


raises(imported, r"cannot import name '\w+' from 'transformers|No module named '(?:mergekit|weave)'")
