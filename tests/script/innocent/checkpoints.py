import os

import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("a/b")
optimizer = torch.optim.AdamW(model.parameters())
if os.path.exists("last.pt"):
    state = torch.load("last.pt", map_location="cpu")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")
