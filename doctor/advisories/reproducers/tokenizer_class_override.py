"""A byte-level BPE whose config calls it a LlamaTokenizer, as DeepSeek's R1 distillations have it: which ids come?"""

import json
from pathlib import Path

from _verdict import finish

TEXT = "hello world"


def main():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["hello world, hello tokens"] * 20, trainer)
    Path("model").mkdir()
    tokenizer.save("model/tokenizer.json")
    config = {"tokenizer_class": "LlamaTokenizerFast", "legacy": True, "add_bos_token": False}
    Path("model/tokenizer_config.json").write_text(json.dumps(config))
    expected = tokenizer.encode(TEXT).ids
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained("model")
    ids = loaded(TEXT, add_special_tokens=False)["input_ids"]
    finish(ids != expected, f"{type(loaded).__name__}: {ids}, and the file itself says {expected}")


main()
