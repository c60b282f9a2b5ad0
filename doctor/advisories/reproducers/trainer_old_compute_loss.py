"""A Trainer whose compute_loss has the signature of transformers below 4.46."""

from _small import lora, trainer
from _verdict import raises


def train():
    from transformers import Trainer

    class ModifiedTrainer(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False):
            return model(input_ids=inputs["input_ids"], labels=inputs["labels"]).loss

    return trainer(lora(), cls=ModifiedTrainer, save_steps=500).train().global_step


raises(train, "num_items_in_batch")
