"""pad_token = eos_token with DataCollatorForLanguageModeling: is </s> in the labels? With another pad it must be."""

import _borrowed
from _llama_files import good
from _verdict import finish
from transformers import DataCollatorForLanguageModeling, LlamaTokenizer


def eos_is_learned(pad: str) -> bool:
    tokenizer = LlamaTokenizer.from_pretrained(good(), add_bos_token=True, add_eos_token=True)
    tokenizer.pad_token = pad
    rows = [
        {"input_ids": tokenizer(text)["input_ids"]}
        for text in ("hello world", "hello the model learns tokens")
    ]
    labels = DataCollatorForLanguageModeling(tokenizer, mlm=False)(rows)["labels"]
    return bool((labels == tokenizer.eos_token_id).any())


_borrowed.cured(lambda: eos_is_learned("<unk>"), True)
learned = eos_is_learned("</s>")
finish(not learned, f"</s> is {'in' if learned else 'nowhere in'} the labels where it pads too")
