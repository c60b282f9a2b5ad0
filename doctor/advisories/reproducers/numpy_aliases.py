"""np.float, an alias of Python's own float."""

from _verdict import raises


def use():
    import numpy

    return numpy.float(1)


raises(use, "module 'numpy' has no attribute 'float'")
