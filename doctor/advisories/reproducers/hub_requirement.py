"""import transformers, which asks for a range of huggingface-hub."""

from _verdict import raises


def imported():
    import transformers

    return transformers.__version__


raises(imported, r"huggingface[-_]hub.{0,40}is required for a normal functioning|from 'huggingface_hub")
