"""apply_chat_template(tokenize=True): a list of ids, or a mapping?"""

from _verdict import finish

TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def main():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"hello": 0, "<unk>": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    tokenizer.chat_template = TEMPLATE
    result = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=True)
    finish(not isinstance(result, list), f"a {type(result).__name__}: {result}")


main()
