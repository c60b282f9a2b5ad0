"""import pandas: its compiled parts were built for one layout of numpy's types."""

from _verdict import raises


def imported():
    import pandas

    return pandas.__version__


raises(imported, "numpy.dtype size changed|_ARRAY_API|multiarray failed to import")
