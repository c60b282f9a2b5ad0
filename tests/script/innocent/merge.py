import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-2-7b-hf", dtype=torch.float16, device_map="cpu")
model = PeftModel.from_pretrained(base, "out")
model = model.merge_and_unload()
model.save_pretrained("merged", safe_serialization=True)
AutoTokenizer.from_pretrained("meta-llama/Llama-2-7b-hf").save_pretrained("merged")
