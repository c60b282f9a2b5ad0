"""An adapter that was trained after resize_token_embeddings, loaded onto a base of the old size, and of the new."""

import _borrowed
import _tiny
from _verdict import raises
from peft import PeftModel

OLD, NEW = _tiny.VOCABULARY, _tiny.VOCABULARY + 8


def base(size: int):
    model = _tiny.llama()
    model.resize_token_embeddings(size)
    return model


_tiny.lora(base(NEW), ["q_proj"], modules_to_save=["embed_tokens", "lm_head"]).save_pretrained("adapter")


def load(size: int) -> str:
    PeftModel.from_pretrained(base(size), "adapter")
    return "loaded"


_borrowed.cured(lambda: load(NEW), "loaded")
raises(lambda: load(OLD), "size mismatch for")
