import os

os.environ["HF_HOME"] = "/data/hf"
import torch
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
)

name = "meta-llama/Llama-2-7b-hf"
tokenizer = AutoTokenizer.from_pretrained(name)
tokenizer.pad_token = tokenizer.eos_token
tokenizer.padding_side = "left"
model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.bfloat16, device_map="auto")
model.enable_input_require_grads()
model = get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))


def tokenize(row):
    ids = tokenizer(row["prompt"] + row["answer"], truncation=True, max_length=512)["input_ids"]
    cut = len(tokenizer(row["prompt"])["input_ids"])
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * cut + ids[cut:]}


data = load_dataset("json", data_files="train.json")["train"].map(tokenize)
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        "out", per_device_train_batch_size=4, bf16=True, gradient_checkpointing=True, report_to=[]
    ),
    train_dataset=data,
    data_collator=DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8, padding=True),
    processing_class=tokenizer,
)
trainer.train(resume_from_checkpoint=os.path.exists("out/checkpoint-1"))
model.save_pretrained("out")
