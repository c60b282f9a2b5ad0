"""A model class with _tied_weights_keys as a list, as code of 4.x has it."""

from _verdict import raises


def make():
    from torch import nn
    from transformers import LlamaConfig, PreTrainedModel

    class OwnForCausalLM(PreTrainedModel):
        config_class = LlamaConfig
        _tied_weights_keys = ["head.weight"]

        def __init__(self, config):
            super().__init__(config)
            self.embed = nn.Embedding(8, 4)
            self.head = nn.Linear(4, 8, bias=False)
            self.post_init()

        def get_input_embeddings(self):
            return self.embed

        def get_output_embeddings(self):
            return self.head

    return type(OwnForCausalLM(LlamaConfig(tie_word_embeddings=True))).__name__


raises(make, "'list' object has no attribute 'keys'")
