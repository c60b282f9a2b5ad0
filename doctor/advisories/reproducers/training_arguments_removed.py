"""Arguments of TrainingArguments that transformers 5 has taken away, one after the other."""

from _verdict import finish

NAMES = {
    "no_cuda": True,
    "overwrite_output_dir": True,
    "save_safetensors": True,
    "per_gpu_train_batch_size": 1,
}


def main():
    from transformers import TrainingArguments

    refused = []
    for name, value in NAMES.items():
        try:
            TrainingArguments(output_dir="out", **{name: value})
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            refused.append(f"TypeError: {error}")
    finish(bool(refused), refused[0] if refused else "every name is taken")


main()
