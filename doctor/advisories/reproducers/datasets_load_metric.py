"""from datasets import load_metric."""

from _verdict import raises


def imported():
    from datasets import load_metric

    return load_metric.__name__


raises(imported, "cannot import name 'load_metric' from 'datasets'")
