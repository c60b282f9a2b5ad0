"""from_pretrained in 8 bits over an old bitsandbytes."""

from _small import llama
from _verdict import finish


def main():
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    llama().save_pretrained("model")
    try:
        AutoModelForCausalLM.from_pretrained(
            "model", quantization_config=BitsAndBytesConfig(load_in_8bit=True)
        )
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        finish("requires bitsandbytes" in text or "requires the latest version of bitsandbytes" in text, text)
    finish(False, "loaded")


main()
