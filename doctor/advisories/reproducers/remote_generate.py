"""A model class with prepare_inputs_for_generation and without GenerationMixin; generate is called."""

from _verdict import raises


def call():
    from torch import nn
    from transformers import LlamaConfig, PreTrainedModel

    class OwnForCausalLM(PreTrainedModel):
        config_class = LlamaConfig

        def __init__(self, config):
            super().__init__(config)
            self.embed = nn.Embedding(8, 4)
            self.post_init()

        def prepare_inputs_for_generation(self, input_ids, **arguments):
            return {"input_ids": input_ids}

        def _init_weights(self, module):
            pass

    return OwnForCausalLM(LlamaConfig()).generate.__name__


raises(call, "has no attribute 'generate'")
