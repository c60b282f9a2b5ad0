"""TrainingArguments(evaluation_strategy=...), the name of old scripts."""

from _verdict import raises


def arguments():
    from transformers import TrainingArguments

    return str(TrainingArguments(output_dir="out", evaluation_strategy="no").output_dir)


raises(arguments, "unexpected keyword argument 'evaluation_strategy'")
