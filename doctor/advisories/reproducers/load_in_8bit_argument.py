"""from_pretrained(load_in_8bit=True), without a BitsAndBytesConfig."""

from _small import llama
from _verdict import finish


def main():
    llama().save_pretrained("model")
    from transformers import AutoModelForCausalLM

    try:
        AutoModelForCausalLM.from_pretrained("model", load_in_8bit=True)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        finish("unexpected keyword argument 'load_in_8bit'" in text, text)
    finish(False, "loaded")


main()
