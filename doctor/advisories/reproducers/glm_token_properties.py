"""A tokenizer of ChatGLM's shape, whose pad_token is a property without a setter."""

from _verdict import raises


def make():
    from transformers import PreTrainedTokenizer

    class ChatGLM4Tokenizer(PreTrainedTokenizer):
        vocab_files_names = {}

        def __init__(self, **arguments):
            self.words = {"a": 0, "<unk>": 1}
            super().__init__(**arguments)

        @property
        def pad_token(self):
            return "<unk>"

        @property
        def vocab_size(self):
            return len(self.words)

        def get_vocab(self):
            return dict(self.words)

        def _tokenize(self, text):
            return list(text)

        def _convert_token_to_id(self, token):
            return self.words.get(token, 1)

        def _convert_id_to_token(self, index):
            return "a"

    return ChatGLM4Tokenizer(pad_token="<unk>").pad_token


raises(make, r"no setter|can't set attribute")
