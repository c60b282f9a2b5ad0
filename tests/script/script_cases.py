# ruff: noqa: E501
"""For each check: a script that has its fault, and one that is near it and has none, with the versions they run with."""

NEW = {
    "torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.2", "trl": "1.16.0", "accelerate": "1.15.0",
    "datasets": "5.2.0", "huggingface-hub": "2.4.0", "bitsandbytes": "0.50.2", "tokenizers": "0.23.3",
    "safetensors": "0.8.0", "sentencepiece": "0.2.1", "wandb": "0.22.0", "evaluate": "0.4.6",
}  # fmt: skip
MID = {
    **NEW, "torch": "2.8.0+cu128", "transformers": "4.57.6", "peft": "0.17.1", "trl": "0.22.2", "accelerate": "1.10.1",
    "datasets": "3.6.0", "huggingface-hub": "0.36.2", "bitsandbytes": "0.45.5",
}  # fmt: skip
OLD = {
    **NEW, "torch": "2.0.1+cu117", "transformers": "4.28.1", "peft": "0.3.0", "trl": "0.7.11", "accelerate": "0.21.0",
    "datasets": "2.21.0", "huggingface-hub": "0.25.2", "bitsandbytes": "0.41.3",
}  # fmt: skip

IMPORTS = """
import os
import torch
from torch.utils.data import DataLoader, Dataset
from datasets import load_dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
)
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, prepare_model_for_kbit_training
"""
TRAIN = """
trainer = Trainer(model=model, args=args, train_dataset=data, data_collator=collator)
trainer.train()
"""
LOAD = 'model = AutoModelForCausalLM.from_pretrained("some/model")\n'
SAVES_PARTS = """
class Mine(Trainer):
    def save_model(self, output_dir=None, _internal_call=False):
        kept = {k: v.to("cpu") for k, v in self.model.named_parameters() if v.requires_grad}
        torch.save(kept, os.path.join(output_dir, "adapter_model.bin"))
"""
SAVES_PEFT = """
class Mine(Trainer):
    def save_model(self, output_dir=None, _internal_call=False):
        self.model.save_pretrained(output_dir)
"""
TOKENIZE = """
def tokenize(rows):
    return tokenizer(rows["text"], truncation=True)
data = load_dataset("json", data_files="a.json")["train"].map(tokenize, remove_columns=["text"])
"""

# check -> (script, versions) that has the fault
FAULTY = {
    "removed-import": [
        ("from transformers import AdamW\n", NEW),
        ("from peft import prepare_model_for_int8_training\n", MID),
        ("import peft\nmodel = peft.prepare_model_for_int8_training(model)\n", NEW),
        ("from datasets import load_metric\n", MID),
        ("from huggingface_hub import cached_download\n", MID),
        ("from torch._six import string_classes\n", MID),
        ("from trl import DataCollatorForCompletionOnlyLM\n", MID),
        ("from trl import PPOTrainer\n", NEW),
        ("from peft import prepare_model_for_kbit_training\n", OLD),
        ("from trl import SFTConfig\n", OLD),
        ("from transformers import AutoModelForVision2Seq\n", NEW),
        ("import transformers as T\nx = T.AdamW(p)\n", MID),
        ("from huggingface_hub import HfFolder\n", NEW),
        ("from transformers.deepspeed import HfDeepSpeedConfig\n", NEW),
    ],
    "unknown-argument": [
        (IMPORTS + 'args = TrainingArguments("out", evaluation_strategy="steps")\n', NEW),
        (IMPORTS + 'options = {"evaluation_strategy": "steps"}\nargs = TrainingArguments("out", **options)\n', MID),
        (IMPORTS + 'args = TrainingArguments("out", eval_strategy="steps")\n', OLD),
        (IMPORTS + "trainer = Trainer(model=m, args=a, tokenizer=tokenizer)\n", NEW),
        ("import transformers\nt = transformers.Trainer(model=m, args=a, tokenizer=t)\n", NEW),
        ("from transformers import Trainer\nclass Mine(Trainer):\n    pass\nt = Mine(model=m, tokenizer=t)\n", NEW),
        ("from trl import SFTTrainer\nt = SFTTrainer(model=m, max_seq_length=512, args=a)\n", MID),
        ("from trl import SFTTrainer\nt = SFTTrainer(model=m, dataset_text_field='text', packing=True)\n", MID),
        ("from trl import SFTTrainer\nt = SFTTrainer(model=m, tokenizer=tok)\n", MID),
        ("from trl import SFTConfig\nc = SFTConfig('out', max_seq_length=512)\n", MID),
        ("from trl import SFTConfig\nc = SFTConfig('out', evaluation_strategy='steps')\n", MID),
        ("from trl import DPOTrainer\nt = DPOTrainer(m, ref, args=a, beta=0.1, train_dataset=d)\n", MID),
        ("from peft import LoraConfig\nc = LoraConfig(r=8, use_dora=True)\n", OLD),
        ("from accelerate import Accelerator\na = Accelerator(dispatch_batches=False)\n", NEW),
        ('from datasets import load_dataset\nd = load_dataset("a/b", use_auth_token=True)\n', MID),
        ('from transformers import TrainingArguments\na = TrainingArguments("o", no_cuda=True)\n', NEW),
    ],
    "loading-argument": [
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", load_in_8bit=True)\n', NEW),
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", load_in_4bit=True, device_map="auto")\n', NEW),
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", use_auth_token="x")\n', NEW),
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", dtype=torch.bfloat16)\n', OLD),
    ],
    "renamed-argument": [
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", torch_dtype=torch.bfloat16)\n', NEW),
    ],
    "compute-loss-signature": [
        (IMPORTS + "class Mine(Trainer):\n    def compute_loss(self, model, inputs, return_outputs=False):\n        return 1\n", NEW),
        ("import transformers as T\nclass Mine(T.Trainer):\n    def compute_loss(self, model, inputs):\n        return 1\n", MID),
    ],
    "state-dict-override": [
        (IMPORTS + "old = model.state_dict\nmodel.state_dict = (\n    lambda self, *_, **__: get_peft_model_state_dict(self, old())\n).__get__(model, type(model))\n", MID),
    ],
    "save-model-override": [(IMPORTS + SAVES_PARTS, MID)],
    "checkpointing-after-wrap": [
        (IMPORTS + LOAD + "model = get_peft_model(model, c)\nmodel.gradient_checkpointing_enable()\n", MID),
    ],
    "pad-is-eos": [
        (IMPORTS + "tokenizer.pad_token = tokenizer.eos_token\ncollator = DataCollatorForLanguageModeling(tokenizer, mlm=False)\n" + TRAIN, NEW),
    ],
    "half-with-fp16": [
        (IMPORTS + LOAD + 'model = get_peft_model(model, c)\nmodel = model\nmodel = get_peft_model(model, c).half()\nargs = TrainingArguments("o", fp16=True)\n', NEW),
        ('import torch\nfrom transformers import AutoModelForCausalLM, Trainer, TrainingArguments\nmodel = AutoModelForCausalLM.from_pretrained("a/b", dtype=torch.float16)\nargs = TrainingArguments("o", fp16=True)\nt = Trainer(model=model, args=args)\n', NEW),
    ],
    "device-map-under-ddp": [
        (IMPORTS + 'rank = int(os.environ.get("LOCAL_RANK", 0))\nmodel = AutoModelForCausalLM.from_pretrained("a/b", device_map="auto")\n' + TRAIN, NEW),
    ],
    "adapter-not-trainable": [
        (IMPORTS + LOAD + 'model = PeftModel.from_pretrained(model, "adapter")\n' + TRAIN, NEW),
    ],
    "merge-quantized": [
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("a/b", quantization_config=BitsAndBytesConfig(load_in_4bit=True))\nmodel = prepare_model_for_kbit_training(model)\nmodel = get_peft_model(model, c)\nmodel = model.merge_and_unload()\n', NEW),
    ],
    "variable-too-late": [
        ('import os\nimport transformers\nos.environ["HF_ENDPOINT"] = "mirror"\n', NEW),
        ('import os\nimport torch\nx = torch.ones(1).to("cuda")\nos.environ["CUDA_VISIBLE_DEVICES"] = "1"\n', NEW),
    ],
    "torch-load-object": [
        ('import torch\nm = torch.load("whole.pt")\nm.eval()\n', NEW),
        ('import torch\na = torch.load("out/training_args.bin")\n', NEW),
    ],
    "torch-load-unguarded": [('import torch\nw = torch.load("a.bin", map_location="cpu")\nmodel.load_state_dict(w)\n', OLD)],
    "remote-code-unpinned": [
        ('from transformers import AutoTokenizer\nt = AutoTokenizer.from_pretrained("THUDM/chatglm-6b", trust_remote_code=True)\n', MID),
    ],
    "target-modules": [
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("gpt2")\nc = LoraConfig(target_modules=["q_proj", "v_proj"])\n', NEW),
    ],
    "single-target": [("from peft import LoraConfig\nc = LoraConfig(target_modules=['query_key_value'])\n", {**OLD, "peft": "0.2.0"})],
    "cuda-before-fork": [
        (IMPORTS + 'class Rows(Dataset):\n    def __getitem__(self, i):\n        return torch.tensor(self.rows[i]).cuda()\nloader = DataLoader(Rows(), num_workers=4)\n', NEW),
    ],
    "contradicting-arguments": [
        (IMPORTS + 'a = TrainingArguments("o", load_best_model_at_end=True, save_strategy="epoch", eval_strategy="steps")\n', NEW),
        (IMPORTS + 'a = TrainingArguments("o", load_best_model_at_end=True)\n', NEW),
        (IMPORTS + 'a = TrainingArguments("o", fp16=True, bf16=True)\n', NEW),
        (IMPORTS + 'a = TrainingArguments("o", load_best_model_at_end=True, save_steps=250, eval_steps=100, eval_strategy="steps")\n', NEW),
    ],
    "labels-missing": [(IMPORTS + LOAD + TOKENIZE + 'trainer = Trainer(model=model, args=TrainingArguments("o"), train_dataset=data)\n', NEW)],
    "labels-not-masked": [
        (IMPORTS + LOAD + 'def f(rows):\n    x = tokenizer(rows["t"], padding="max_length", truncation=True)\n    x["labels"] = x["input_ids"].copy()\n    return x\ntrainer = Trainer(model=model, args=a, train_dataset=d.map(f))\n', NEW),
    ],
    "missing-package": [
        ("import deepspeed\n", NEW),
        (IMPORTS + 'a = TrainingArguments("o", report_to=["swanlab"])\n', NEW),
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", attn_implementation="flash_attention_2")\n', NEW),
    ],
    "chat-template-return": [
        ('ids = tokenizer.apply_chat_template(m, return_tensors="pt").to("cuda")\nout = model.generate(ids, max_new_tokens=9)\n', NEW),
        ('ids = tokenizer.apply_chat_template(m, return_tensors="pt")\nn = ids.shape[1]\n', NEW),
    ],
    "resume-override": [
        (IMPORTS + SAVES_PARTS + "trainer = Mine(model=model)\ntrainer.train(resume_from_checkpoint=True)\n", NEW),
    ],
}  # fmt: skip

# check -> (script, versions) that is near the fault and has none
SOUND = {
    "removed-import": [
        ("from transformers import AdamW\n", OLD),
        ("try:\n    from transformers import AdamW\nexcept ImportError:\n    from torch.optim import AdamW\n", NEW),
        ("from torch.optim import AdamW\n", NEW),
        ("from peft import prepare_model_for_int8_training\n", OLD),
        ("if version.parse(peft.__version__) < V:\n    from peft import prepare_model_for_int8_training\n", NEW),
        ("from mine import AdamW, load_metric\n", NEW),
        ("from transformers import NoSuchThingEver\n", NEW),
    ],
    "unknown-argument": [
        (IMPORTS + 'args = TrainingArguments("out", eval_strategy="steps")\n', NEW),
        (IMPORTS + 'args = TrainingArguments("out", evaluation_strategy="steps")\n', OLD),
        ("from transformers import Trainer\nt = Trainer(model=m, tokenizer=t)\n", MID),
        ("from transformers import Trainer\nclass Mine(Trainer):\n    def __init__(self, tokenizer=None, **k):\n        super().__init__(**k)\nt = Mine(model=m, tokenizer=t)\n", NEW),
        ("from trl import SFTConfig\nc = SFTConfig('out', max_length=512, learning_rate=1e-4, bf16=True, packing=True)\n", NEW),
        ("from mine import TrainingArguments\na = TrainingArguments(evaluation_strategy='no')\n", NEW),
        (IMPORTS + 'k = "eval_strategy" if new else "evaluation_strategy"\nargs = TrainingArguments("out", **{k: "steps"})\n', NEW),
    ],
    "loading-argument": [
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", load_in_8bit=True)\n', MID),
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", dtype="auto")\n', NEW),
        (IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", quantization_config=BitsAndBytesConfig(load_in_8bit=True))\n', NEW),
    ],
    "renamed-argument": [(IMPORTS + 'm = AutoModelForCausalLM.from_pretrained("a/b", torch_dtype=torch.bfloat16)\n', OLD)],
    "compute-loss-signature": [
        (IMPORTS + "class Mine(Trainer):\n    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):\n        return 1\n", NEW),
        (IMPORTS + "class Mine(Trainer):\n    def compute_loss(self, model, inputs, return_outputs=False):\n        return 1\n", OLD),
        ("class Mine:\n    def compute_loss(self, model, inputs):\n        return 1\n", NEW),
    ],
    "state-dict-override": [
        (IMPORTS + "model.state_dict = (lambda self: get_peft_model_state_dict(self, old())).__get__(model)\n", NEW),
        (IMPORTS + "w = get_peft_model_state_dict(model)\nself.state_dict = w2\n", MID),
    ],
    "save-model-override": [(IMPORTS + SAVES_PEFT, MID), (IMPORTS + SAVES_PARTS, NEW)],
    "checkpointing-after-wrap": [
        (IMPORTS + LOAD + "model.gradient_checkpointing_enable()\nmodel = get_peft_model(model, c)\n", MID),
        (IMPORTS + LOAD + "model = get_peft_model(model, c)\nmodel.enable_input_require_grads()\nmodel.gradient_checkpointing_enable()\n", MID),
        (IMPORTS + LOAD + "model = get_peft_model(model, c)\nmodel.gradient_checkpointing_enable()\n", NEW),
        (IMPORTS + LOAD + "model = get_peft_model(model, c)\nmodel.gradient_checkpointing_enable(gradient_checkpointing_kwargs={'use_reentrant': False})\n", MID),
    ],
    "pad-is-eos": [
        (IMPORTS + "tokenizer.pad_token = tokenizer.unk_token\ncollator = DataCollatorForLanguageModeling(tokenizer, mlm=False)\n" + TRAIN, NEW),
        (IMPORTS + "tokenizer.pad_token = tokenizer.eos_token\ncollator = DataCollatorForSeq2Seq(tokenizer)\n" + TRAIN, NEW),
    ],
    "half-with-fp16": [
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("a/b", dtype=torch.float16)\nmodel = get_peft_model(model, c)\nargs = TrainingArguments("o", fp16=True)\n' + TRAIN, NEW),
        (IMPORTS + LOAD + 'model = get_peft_model(model, c).half()\nargs = TrainingArguments("o", bf16=True)\n', NEW),
    ],
    "device-map-under-ddp": [
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("a/b", device_map="auto")\n' + TRAIN, NEW),
        (IMPORTS + 'device_map = "auto"\nif int(os.environ.get("WORLD_SIZE", 1)) > 1:\n    device_map = {"": int(os.environ["LOCAL_RANK"])}\nmodel = AutoModelForCausalLM.from_pretrained("a/b", device_map=device_map)\n' + TRAIN, NEW),
    ],
    "adapter-not-trainable": [
        (IMPORTS + LOAD + 'model = PeftModel.from_pretrained(model, "adapter", is_trainable=True)\n' + TRAIN, NEW),
        (IMPORTS + LOAD + 'model = PeftModel.from_pretrained(model, "adapter")\nmodel = model.merge_and_unload()\nmodel = get_peft_model(model, c)\n' + TRAIN, NEW),
        (IMPORTS + LOAD + 'model = PeftModel.from_pretrained(model, "adapter")\nmodel.generate(x)\n', NEW),
    ],
    "merge-quantized": [
        (IMPORTS + LOAD + 'model = PeftModel.from_pretrained(model, "adapter")\nmodel = model.merge_and_unload()\n', NEW),
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("a/b", quantization_config=BitsAndBytesConfig(load_in_4bit=True))\nmodel = get_peft_model(model, c)\nmodel.save_pretrained("o")\nbase = AutoModelForCausalLM.from_pretrained("a/b")\nmodel = PeftModel.from_pretrained(base, "o")\nmodel = model.merge_and_unload()\n', NEW),
    ],
    "variable-too-late": [
        ('import os\nos.environ["HF_ENDPOINT"] = "mirror"\nimport transformers\n', NEW),
        ('import os\nimport torch\nos.environ["CUDA_VISIBLE_DEVICES"] = "1"\nx = torch.ones(1).to("cuda")\n', NEW),
        ('import os\nimport transformers\nos.environ["WANDB_PROJECT"] = "x"\nos.environ["TOKENIZERS_PARALLELISM"] = "false"\n', NEW),
    ],
    "torch-load-object": [
        ('import torch\nm = torch.load("whole.pt", weights_only=False)\nm.eval()\n', NEW),
        ('import torch\nw = torch.load("w.pt")\nmodel.load_state_dict(w)\nmodel.eval()\n', NEW),
        ('import torch\nm = torch.load("whole.pt")\nm.eval()\n', OLD),
    ],
    "torch-load-unguarded": [('import torch\nw = torch.load("a.bin", map_location="cpu")\nmodel.load_state_dict(w)\n', NEW)],
    "remote-code-unpinned": [
        ('from transformers import AutoTokenizer\nt = AutoTokenizer.from_pretrained("a/b", trust_remote_code=True, revision="abc")\n', MID),
        ('from transformers import AutoTokenizer\nt = AutoTokenizer.from_pretrained("./models/b", trust_remote_code=True)\n', MID),
    ],
    "target-modules": [
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("gpt2")\nc = LoraConfig(target_modules=["c_attn"])\n', NEW),
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("own/model")\nc = LoraConfig(target_modules=["W_pack"])\n', NEW),
        (IMPORTS + 'model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-7B-Instruct")\nc = LoraConfig(target_modules="all-linear")\n', NEW),
    ],
    "single-target": [("from peft import LoraConfig\nc = LoraConfig(target_modules=['query_key_value'])\n", OLD)],
    "cuda-before-fork": [
        (IMPORTS + 'class Rows(Dataset):\n    def __getitem__(self, i):\n        return torch.tensor(self.rows[i])\nloader = DataLoader(Rows(), num_workers=4)\nfor b in loader:\n    b.cuda()\n', NEW),
        (IMPORTS + 'class Rows(Dataset):\n    def __getitem__(self, i):\n        return torch.tensor(self.rows[i]).cuda()\nloader = DataLoader(Rows(), num_workers=0)\n', NEW),
    ],
    "contradicting-arguments": [
        (IMPORTS + 'a = TrainingArguments("o", load_best_model_at_end=True, save_strategy="epoch", eval_strategy="epoch")\n', NEW),
        (IMPORTS + 'a = TrainingArguments("o", load_best_model_at_end=True, save_strategy=s, eval_strategy="epoch")\n', NEW),
        (IMPORTS + 'a = TrainingArguments("o", load_best_model_at_end=True, save_steps=200, eval_steps=100, eval_strategy="steps")\n', NEW),
    ],
    "labels-missing": [
        (IMPORTS + LOAD + TOKENIZE + 'trainer = Trainer(model=model, args=TrainingArguments("o"), train_dataset=data, data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False))\n', NEW),
    ],
    "labels-not-masked": [
        (IMPORTS + LOAD + 'def f(rows):\n    x = tokenizer(rows["t"], padding="max_length", truncation=True)\n    x["labels"] = [[t if t != tokenizer.pad_token_id else -100 for t in r] for r in x["input_ids"]]\n    return x\ntrainer = Trainer(model=model, args=a, train_dataset=d.map(f))\n', NEW),
        (IMPORTS + LOAD + 'def f(rows):\n    x = tokenizer(rows["t"], truncation=True)\n    x["labels"] = x["input_ids"].copy()\n    return x\ntrainer = Trainer(model=model, args=a, train_dataset=d.map(f), data_collator=DataCollatorForSeq2Seq(tokenizer))\n', NEW),
    ],
    "missing-package": [
        ("import torch, transformers\n", NEW),
        ("try:\n    import deepspeed\nexcept ImportError:\n    deepspeed = None\n", NEW),
        (IMPORTS + 'a = TrainingArguments("o", report_to="none")\n', NEW),
        ("import something_of_mine\n", NEW),
    ],
    "chat-template-return": [
        ('t = tokenizer.apply_chat_template(m, tokenize=False)\nids = tokenizer(t, return_tensors="pt")\n', NEW),
        ('x = tokenizer.apply_chat_template(m, return_tensors="pt")\nout = model.generate(**x)\n', NEW),
        ('ids = tokenizer.apply_chat_template(m, return_tensors="pt")\nout = model.generate(ids)\n', MID),
    ],
    "resume-override": [(IMPORTS + SAVES_PEFT + "t = Mine(model=model)\nt.train(resume_from_checkpoint=True)\n", NEW)],
}  # fmt: skip
