"""from peft import prepare_model_for_int8_training, as in alpaca-lora's finetune.py."""

from _verdict import raises


def imported():
    from peft import prepare_model_for_int8_training

    return prepare_model_for_int8_training.__name__


raises(imported, "cannot import name 'prepare_model_for_int8_training' from 'peft'")
