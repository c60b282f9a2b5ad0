"""import datasets over an older huggingface_hub."""

from _verdict import raises


def imported():
    import datasets

    return datasets.__version__


raises(imported, "from 'huggingface_hub")
