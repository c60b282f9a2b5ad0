"""from pkg_resources import packaging, as torch.utils.cpp_extension did until 2.3."""

from _verdict import raises


def imported():
    from pkg_resources import packaging

    return packaging.__name__


raises(imported, "cannot import name 'packaging' from 'pkg_resources'")
