import inspect

import transformers
from packaging import version
from transformers import Trainer, TrainingArguments

try:
    from transformers import AdamW
except ImportError:
    pass

options = {}
if "eval_strategy" in inspect.signature(TrainingArguments.__init__).parameters:
    options["eval_strategy"] = "steps"
else:
    options["evaluation_strategy"] = "steps"
args = TrainingArguments("out", **options)
if version.parse(transformers.__version__) >= version.parse("4.46"):
    trainer = Trainer(model=None, args=args, processing_class=None)
else:
    trainer = Trainer(model=None, args=args, tokenizer=None)
