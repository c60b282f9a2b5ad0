"""TrainingArguments(tf32=True) where no GPU with TF32 is seen."""

from _verdict import raises
from transformers import TrainingArguments

raises(lambda: TrainingArguments("out", tf32=True).tf32, r"--tf32 requires Ampere")
