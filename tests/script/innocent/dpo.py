import torch
from datasets import load_dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2-0.5B-Instruct", dtype=torch.bfloat16)
model = PeftModel.from_pretrained(model, "sft-adapter", is_trainable=True, adapter_name="train")
model.load_adapter("sft-adapter", adapter_name="reference")
tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen2-0.5B-Instruct")
args = DPOConfig("out", beta=0.1, max_length=1024, learning_rate=5e-7, bf16=True)
trainer = DPOTrainer(
    model=model, args=args, processing_class=tokenizer, train_dataset=load_dataset("a/b", split="train")
)
trainer.train()
