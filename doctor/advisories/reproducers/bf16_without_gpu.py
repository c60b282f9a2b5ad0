"""TrainingArguments(bf16=True) where no GPU with bfloat16 is seen."""

import accelerate
from _verdict import raises
from transformers import TrainingArguments

assert accelerate
raises(lambda: TrainingArguments("out", bf16=True).bf16, r"Your setup doesn't support bf16")
