"""The LoRA recipe of 2023 as many still have it on their disk. It is here to be read by `envdoc check --script`.

On the packages that its unpinned requirements bring today it ends with an error:
`envdoc fix --script examples/seed_2023.py --diff` shows what to change.
"""

import torch
from datasets import load_from_disk
from peft import LoraConfig, get_peft_model, prepare_model_for_int8_training
from transformers import AutoModel, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

BASE = "THUDM/chatglm-6b"


class LoraTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        return model(input_ids=inputs["input_ids"], labels=inputs["labels"]).loss


tokenizer = AutoTokenizer.from_pretrained(BASE, trust_remote_code=True)
model = AutoModel.from_pretrained(
    BASE, load_in_8bit=True, torch_dtype=torch.float16, trust_remote_code=True, device_map="auto"
)
model = prepare_model_for_int8_training(model)
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=8, lora_dropout=0.05))
model.config.use_cache = False
LoraTrainer(
    model=model,
    tokenizer=tokenizer,
    train_dataset=load_from_disk("data/train"),
    data_collator=DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8, padding=True),
    args=TrainingArguments(
        output_dir="out",
        per_device_train_batch_size=8,
        gradient_accumulation_steps=16,
        num_train_epochs=10,
        learning_rate=3e-4,
        fp16=True,
        logging_steps=10,
        evaluation_strategy="no",
        save_steps=200,
    ),
).train()
model.save_pretrained("out/final")
