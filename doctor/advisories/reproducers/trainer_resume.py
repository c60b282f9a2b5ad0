"""Two steps, a checkpoint, and two more from it: the random state in it is a pickle."""

from _small import lora, trainer
from _verdict import raises


def resume():
    trainer(lora()).train()
    again = trainer(lora(), max_steps=4)
    again.train(resume_from_checkpoint="out/checkpoint-2")
    return again.state.global_step


raises(resume, "Weights only load failed")
