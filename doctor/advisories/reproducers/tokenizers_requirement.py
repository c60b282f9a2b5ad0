"""import transformers, which asks for a range of tokenizers."""

from _verdict import raises


def imported():
    import transformers

    return transformers.__version__


raises(imported, r"tokenizers.{0,40}is required for a normal functioning")
