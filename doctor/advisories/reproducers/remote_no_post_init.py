"""A model class that never calls post_init, as much code on the hub; saved and loaded."""

from _verdict import raises


def load():
    from torch import nn
    from transformers import LlamaConfig, PreTrainedModel

    class OwnModel(PreTrainedModel):
        config_class = LlamaConfig

        def __init__(self, config):
            super().__init__(config)
            self.embed = nn.Embedding(8, 4)

        def _init_weights(self, module):
            pass

    OwnModel(LlamaConfig()).save_pretrained("model")
    return type(OwnModel.from_pretrained("model")).__name__


raises(load, "has no attribute 'all_tied_weights_keys'")
