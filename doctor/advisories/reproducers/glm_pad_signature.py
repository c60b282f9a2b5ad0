"""A tokenizer of ChatGLM's shape, whose _pad does not know padding_side."""

from _verdict import raises


def pad():
    from transformers import PreTrainedTokenizer

    class ChatGLMTokenizer(PreTrainedTokenizer):
        vocab_files_names = {}

        @property
        def vocab_size(self):
            return 10

        def get_vocab(self):
            return {chr(97 + index): index for index in range(10)}

        def _tokenize(self, text):
            return list(text)

        def _convert_token_to_id(self, token):
            return ord(token[0]) - 97

        def _convert_id_to_token(self, index):
            return chr(97 + index)

        def _pad(self, encoded_inputs, max_length=None, padding_strategy=None, pad_to_multiple_of=None,
                 return_attention_mask=None):  # fmt: skip
            return encoded_inputs

    return ChatGLMTokenizer(pad_token="a").pad({"input_ids": [1, 2, 3]})["input_ids"]


raises(pad, r"_pad\(\) got an unexpected keyword argument 'padding_side'")
