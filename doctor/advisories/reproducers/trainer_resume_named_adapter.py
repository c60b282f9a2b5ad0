"""An adapter that is not called `default` is saved in a folder of its own; resuming looks beside it."""

from _small import llama, trainer
from _verdict import raises


def named():
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["q_proj"], task_type="CAUSAL_LM")
    return get_peft_model(llama(), config, adapter_name="mine")


def resume():
    import torch

    torch.load = _trusting(torch.load)  # the random state is another trouble
    trainer(named()).train()
    again = trainer(named(), max_steps=4)
    again.train(resume_from_checkpoint="out/checkpoint-2")
    return again.state.global_step


def _trusting(load):
    return lambda *args, **kwargs: load(*args, **{**kwargs, "weights_only": False})


raises(resume, "Can't find a valid checkpoint")
