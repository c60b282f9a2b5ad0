"""SFTTrainer's constructor with the arguments of 2024: are they still there?"""

import inspect

from _verdict import finish

NAMES = (
    "tokenizer",
    "dataset_text_field",
    "max_seq_length",
    "packing",
    "dataset_num_proc",
    "model_init_kwargs",
)


def main():
    from trl import SFTTrainer

    try:
        SFTTrainer(model=None, dataset_text_field="text", max_seq_length=64)
    except TypeError as error:
        text = f"TypeError: {error}"
        finish("unexpected keyword argument" in text, text)
    except Exception as error:  # it went past its arguments
        known = inspect.signature(SFTTrainer.__init__).parameters
        finish(
            False,
            f"{type(error).__name__} with the arguments taken; {sum(name in known for name in NAMES)} known",
        )
    finish(False, "the arguments are taken")


main()
