"""A tokenizer of ChatGLM's shape, which makes its vocabulary only after the base class's constructor."""

from _verdict import raises


def make():
    from transformers import PreTrainedTokenizer

    class ChatGLMTokenizer(PreTrainedTokenizer):
        vocab_files_names = {}

        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.sp_tokenizer = {"a": 0}

        @property
        def vocab_size(self):
            return len(self.sp_tokenizer)

        def get_vocab(self):
            return dict(self.sp_tokenizer)

        def _tokenize(self, text):
            return list(text)

        def _convert_token_to_id(self, token):
            return 0

        def _convert_id_to_token(self, index):
            return "a"

    return len(ChatGLMTokenizer(eos_token="</s>"))


raises(make, r"has no attribute '?sp_tokenizer")
