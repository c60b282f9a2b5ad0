"""Classes of transformers that release 5 has taken away."""

from _verdict import raises


def imported():
    from transformers import AutoModelForVision2Seq

    return AutoModelForVision2Seq.__name__


raises(imported, r"cannot import name 'AutoModelForVision2Seq'")
