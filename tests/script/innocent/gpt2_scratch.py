import math
from itertools import chain

from datasets import load_dataset
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

set_seed(1)
tokenizer = AutoTokenizer.from_pretrained("gpt2")


def group(examples):
    joined = {k: list(chain(*examples[k])) for k in examples}
    out = {k: [v[i : i + 512] for i in range(0, len(v), 512)] for k, v in joined.items()}
    out["labels"] = out["input_ids"].copy()
    return out


data = load_dataset("wikitext", "wikitext-2-raw-v1")
data = data.map(lambda r: tokenizer(r["text"]), batched=True, remove_columns=["text"]).map(
    group, batched=True
)
model = GPT2LMHeadModel(GPT2Config())
trainer = Trainer(
    model=model,
    args=TrainingArguments("out", max_steps=10),
    train_dataset=data["train"],
    data_collator=default_data_collator,
)
print(math.exp(trainer.train().training_loss))
