from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("gpt2-medium")
config = LoraConfig(task_type=TaskType.CAUSAL_LM, r=8, target_modules=["c_attn"], fan_in_fan_out=True)
get_peft_model(model, config).print_trainable_parameters()
