import evaluate
import numpy as np
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

raw = load_dataset("glue", "mrpc")
tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
data = raw.map(lambda rows: tokenizer(rows["sentence1"], rows["sentence2"], truncation=True), batched=True)
metric = evaluate.load("glue", "mrpc")


def compute(pred):
    return metric.compute(predictions=np.argmax(pred.predictions, axis=-1), references=pred.label_ids)


args = TrainingArguments(
    "out", eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, fp16=True
)
trainer = Trainer(
    AutoModelForSequenceClassification.from_pretrained("bert-base-uncased", num_labels=2),
    args,
    train_dataset=data["train"],
    eval_dataset=data["validation"],
    data_collator=DataCollatorWithPadding(tokenizer),
    processing_class=tokenizer,
    compute_metrics=compute,
)
trainer.train()
